//! The languages: a subject and a sentence for each notice, and what stands around them.

/// A language. Where there are two, the first is the subject.
pub(super) struct Language {
    pub(super) app: &'static str,
    pub(super) phone: &'static str,
    pub(super) codes: &'static str,
    pub(super) factor_added: &'static str,
    pub(super) factor_added_text: &'static str,
    pub(super) factor_removed: &'static str,
    pub(super) factor_removed_text: &'static str,
    pub(super) codes_replaced: (&'static str, &'static str),
    pub(super) code_used: &'static str,
    pub(super) code_used_text: &'static str,
    pub(super) codes_left: &'static str,
    pub(super) codes_few: &'static str,
    pub(super) codes_few_text: &'static str,
    pub(super) password_changed: (&'static str, &'static str),
    pub(super) token_issued: (&'static str, &'static str),
    pub(super) new_network: (&'static str, &'static str),
    pub(super) one_factor: (&'static str, &'static str),
    pub(super) reset: (&'static str, &'static str),
    pub(super) address_changed: (&'static str, &'static str),
    pub(super) deleted: (&'static str, &'static str),
    pub(super) by_admin: &'static str,
    pub(super) when: &'static str,
    pub(super) from: &'static str,
    pub(super) not_you: &'static str,
}

/// The language of a locale; English where there is none.
pub(super) fn language(locale: &str) -> &'static Language {
    match locale {
        "de" => &DE,
        "el" => &EL,
        "es" => &ES,
        "fr" => &FR,
        "it" => &IT,
        _ => &EN,
    }
}

const EN: Language = Language {
    app: "authenticator app",
    phone: "phone",
    codes: "set of backup codes",
    factor_added: "a second factor was added",
    factor_added_text: "The {method} was added to your account: from now on its codes are asked for when you sign in.",
    factor_removed: "a second factor was removed",
    factor_removed_text: "The {method} was removed from your account: it is not asked for any more.",
    codes_replaced: (
        "there are new backup codes",
        "A new set of backup codes was made for your account. The codes of the old set are no longer valid.",
    ),
    code_used: "a backup code was used",
    code_used_text: "A backup code was used for your account.",
    codes_left: "Unused codes: {left}.",
    codes_few: "few backup codes are left",
    codes_few_text: "Make a new set before you need one.",
    password_changed: (
        "the password was changed",
        "The password of your account was changed. Its other sessions have ended.",
    ),
    token_issued: (
        "a password can be set",
        "A one-time token was issued with which the password of your account can be set within 24 hours.",
    ),
    new_network: (
        "the password came from a new network",
        "The right password for your account was given from a network that it had not come from lately.",
    ),
    one_factor: (
        "a sign-in was not completed",
        "The right password for your account was given, or a token to set a new one, and the second factor did not follow.",
    ),
    reset: (
        "the second factors were reset",
        "Every second factor of your account was removed, and you are signed out everywhere.",
    ),
    address_changed: (
        "an e-mail address was changed",
        "An e-mail address of your account was changed. This was sent to the old address and to the new one.",
    ),
    deleted: ("the account was removed", "Your account was removed. This was sent to its addresses for the last time."),
    by_admin: "An administrator did this.",
    when: "Time",
    from: "From",
    not_you: "If you do not expect this, tell your administrator at once.",
};

const DE: Language = Language {
    app: "Authenticator-App",
    phone: "Telefonnummer",
    codes: "Liste der Ersatzcodes",
    factor_added: "ein zweiter Faktor wurde hinzugefügt",
    factor_added_text: "Ihrem Konto wurde ein zweiter Faktor hinzugefügt ({method}): Von jetzt an werden bei der Anmeldung seine Codes verlangt.",
    factor_removed: "ein zweiter Faktor wurde entfernt",
    factor_removed_text: "Von Ihrem Konto wurde ein zweiter Faktor entfernt ({method}): Er wird nicht mehr verlangt.",
    codes_replaced: (
        "es gibt neue Ersatzcodes",
        "Für Ihr Konto wurden neue Ersatzcodes erstellt. Die alten Codes gelten nicht mehr.",
    ),
    code_used: "ein Ersatzcode wurde verwendet",
    code_used_text: "Für Ihr Konto wurde ein Ersatzcode verwendet.",
    codes_left: "Unbenutzte Codes: {left}.",
    codes_few: "es sind nur noch wenige Ersatzcodes übrig",
    codes_few_text: "Erstellen Sie neue, bevor Sie welche brauchen.",
    password_changed: (
        "das Passwort wurde geändert",
        "Das Passwort Ihres Kontos wurde geändert. Die anderen Sitzungen sind beendet.",
    ),
    token_issued: (
        "ein Passwort kann gesetzt werden",
        "Es wurde ein einmaliges Token ausgestellt, mit dem das Passwort Ihres Kontos innerhalb von 24 Stunden gesetzt werden kann.",
    ),
    new_network: (
        "das Passwort kam aus einem neuen Netz",
        "Das richtige Passwort Ihres Kontos wurde aus einem Netz eingegeben, aus dem es in letzter Zeit nicht kam.",
    ),
    one_factor: (
        "eine Anmeldung wurde nicht beendet",
        "Das richtige Passwort Ihres Kontos wurde eingegeben, oder ein Token für ein neues, und der zweite Faktor blieb aus.",
    ),
    reset: (
        "die zweiten Faktoren wurden zurückgesetzt",
        "Alle zweiten Faktoren Ihres Kontos wurden entfernt, und Sie sind überall abgemeldet.",
    ),
    address_changed: (
        "eine E-Mail-Adresse wurde geändert",
        "Eine E-Mail-Adresse Ihres Kontos wurde geändert. Diese Nachricht ging an die alte und an die neue Adresse.",
    ),
    deleted: (
        "das Konto wurde entfernt",
        "Ihr Konto wurde entfernt. Diese Nachricht ging ein letztes Mal an seine Adressen.",
    ),
    by_admin: "Das war die Administration.",
    when: "Zeit",
    from: "Von",
    not_you: "Wenn Sie das nicht erwarten, melden Sie es sofort Ihrer Administration.",
};

const EL: Language = Language {
    app: "εφαρμογή ελέγχου ταυτότητας",
    phone: "τηλέφωνο",
    codes: "λίστα εφεδρικών κωδικών",
    factor_added: "προστέθηκε δεύτερος παράγοντας",
    factor_added_text: "Στον λογαριασμό σας προστέθηκε δεύτερος παράγοντας ({method}): από τώρα οι κωδικοί του ζητούνται κατά τη σύνδεση.",
    factor_removed: "αφαιρέθηκε δεύτερος παράγοντας",
    factor_removed_text: "Από τον λογαριασμό σας αφαιρέθηκε δεύτερος παράγοντας ({method}): δεν ζητείται πια.",
    codes_replaced: (
        "υπάρχουν νέοι εφεδρικοί κωδικοί",
        "Για τον λογαριασμό σας δημιουργήθηκαν νέοι εφεδρικοί κωδικοί. Οι παλιοί δεν ισχύουν πια.",
    ),
    code_used: "χρησιμοποιήθηκε εφεδρικός κωδικός",
    code_used_text: "Για τον λογαριασμό σας χρησιμοποιήθηκε εφεδρικός κωδικός.",
    codes_left: "Αχρησιμοποίητοι κωδικοί: {left}.",
    codes_few: "απομένουν λίγοι εφεδρικοί κωδικοί",
    codes_few_text: "Δημιουργήστε νέους πριν τους χρειαστείτε.",
    password_changed: (
        "ο κωδικός πρόσβασης άλλαξε",
        "Ο κωδικός πρόσβασης του λογαριασμού σας άλλαξε. Οι άλλες συνεδρίες έληξαν.",
    ),
    token_issued: (
        "μπορεί να οριστεί κωδικός πρόσβασης",
        "Εκδόθηκε διακριτικό μίας χρήσης με το οποίο μπορεί να οριστεί ο κωδικός πρόσβασης του λογαριασμού σας μέσα σε 24 ώρες.",
    ),
    new_network: (
        "ο κωδικός πρόσβασης δόθηκε από νέο δίκτυο",
        "Ο σωστός κωδικός πρόσβασης του λογαριασμού σας δόθηκε από δίκτυο από το οποίο δεν είχε δοθεί πρόσφατα.",
    ),
    one_factor: (
        "μια σύνδεση δεν ολοκληρώθηκε",
        "Δόθηκε ο σωστός κωδικός πρόσβασης του λογαριασμού σας, ή διακριτικό για νέον, και ο δεύτερος παράγοντας δεν ακολούθησε.",
    ),
    reset: (
        "έγινε επαναφορά των δεύτερων παραγόντων",
        "Όλοι οι δεύτεροι παράγοντες του λογαριασμού σας αφαιρέθηκαν, και έχετε αποσυνδεθεί από παντού.",
    ),
    address_changed: (
        "άλλαξε μια διεύθυνση e-mail",
        "Μια διεύθυνση e-mail του λογαριασμού σας άλλαξε. Το μήνυμα αυτό στάλθηκε στην παλιά και στη νέα διεύθυνση.",
    ),
    deleted: (
        "ο λογαριασμός διαγράφηκε",
        "Ο λογαριασμός σας διαγράφηκε. Το μήνυμα αυτό στάλθηκε για τελευταία φορά στις διευθύνσεις του.",
    ),
    by_admin: "Το έκανε διαχειριστής.",
    when: "Ώρα",
    from: "Από",
    not_you: "Αν δεν το περιμένατε, ειδοποιήστε αμέσως τον διαχειριστή σας.",
};

const ES: Language = Language {
    app: "aplicación de autenticación",
    phone: "teléfono",
    codes: "lista de códigos de respaldo",
    factor_added: "se ha añadido un segundo factor",
    factor_added_text: "Se ha añadido un segundo factor a su cuenta ({method}): desde ahora se pedirán sus códigos al iniciar sesión.",
    factor_removed: "se ha quitado un segundo factor",
    factor_removed_text: "Se ha quitado un segundo factor de su cuenta ({method}): ya no se pide.",
    codes_replaced: (
        "hay nuevos códigos de respaldo",
        "Se han creado nuevos códigos de respaldo para su cuenta. Los anteriores ya no son válidos.",
    ),
    code_used: "se ha usado un código de respaldo",
    code_used_text: "Se ha usado un código de respaldo de su cuenta.",
    codes_left: "Códigos sin usar: {left}.",
    codes_few: "quedan pocos códigos de respaldo",
    codes_few_text: "Cree otros nuevos antes de necesitarlos.",
    password_changed: (
        "se ha cambiado la contraseña",
        "Se ha cambiado la contraseña de su cuenta. Las demás sesiones han terminado.",
    ),
    token_issued: (
        "se puede fijar una contraseña",
        "Se ha emitido un código de un solo uso con el que se puede fijar la contraseña de su cuenta en 24 horas.",
    ),
    new_network: (
        "la contraseña ha llegado de una red nueva",
        "La contraseña correcta de su cuenta se ha introducido desde una red de la que no había llegado últimamente.",
    ),
    one_factor: (
        "un inicio de sesión no se ha completado",
        "Se ha introducido la contraseña correcta de su cuenta, o un código para fijar una nueva, y no ha seguido el segundo factor.",
    ),
    reset: (
        "se han restablecido los segundos factores",
        "Se han quitado todos los segundos factores de su cuenta y se ha cerrado su sesión en todas partes.",
    ),
    address_changed: (
        "se ha cambiado una dirección de correo",
        "Se ha cambiado una dirección de correo de su cuenta. Este mensaje se ha enviado a la dirección antigua y a la nueva.",
    ),
    deleted: (
        "se ha eliminado la cuenta",
        "Se ha eliminado su cuenta. Este mensaje se ha enviado por última vez a sus direcciones.",
    ),
    by_admin: "Lo ha hecho un administrador.",
    when: "Hora",
    from: "Desde",
    not_you: "Si no lo esperaba, avise enseguida a su administrador.",
};

const FR: Language = Language {
    app: "application d'authentification",
    phone: "téléphone",
    codes: "liste de codes de secours",
    factor_added: "un second facteur a été ajouté",
    factor_added_text: "Un second facteur ({method}) a été ajouté à votre compte : ses codes seront désormais demandés à la connexion.",
    factor_removed: "un second facteur a été retiré",
    factor_removed_text: "Un second facteur ({method}) a été retiré de votre compte : il n'est plus demandé.",
    codes_replaced: (
        "il y a de nouveaux codes de secours",
        "De nouveaux codes de secours ont été créés pour votre compte. Les anciens ne sont plus valables.",
    ),
    code_used: "un code de secours a été utilisé",
    code_used_text: "Un code de secours a été utilisé pour votre compte.",
    codes_left: "Codes inutilisés : {left}.",
    codes_few: "il reste peu de codes de secours",
    codes_few_text: "Créez-en de nouveaux avant d'en avoir besoin.",
    password_changed: (
        "le mot de passe a été modifié",
        "Le mot de passe de votre compte a été modifié. Les autres sessions sont terminées.",
    ),
    token_issued: (
        "un mot de passe peut être défini",
        "Un jeton à usage unique a été émis : il permet de définir le mot de passe de votre compte pendant 24 heures.",
    ),
    new_network: (
        "le mot de passe est venu d'un nouveau réseau",
        "Le bon mot de passe de votre compte a été saisi depuis un réseau d'où il n'était pas venu récemment.",
    ),
    one_factor: (
        "une connexion n'a pas abouti",
        "Le bon mot de passe de votre compte a été saisi, ou un jeton pour en définir un nouveau, et le second facteur n'a pas suivi.",
    ),
    reset: (
        "les seconds facteurs ont été réinitialisés",
        "Tous les seconds facteurs de votre compte ont été retirés, et vous êtes déconnecté partout.",
    ),
    address_changed: (
        "une adresse électronique a été modifiée",
        "Une adresse électronique de votre compte a été modifiée. Ce message a été envoyé à l'ancienne adresse et à la nouvelle.",
    ),
    deleted: (
        "le compte a été supprimé",
        "Votre compte a été supprimé. Ce message a été envoyé une dernière fois à ses adresses.",
    ),
    by_admin: "C'est un administrateur qui l'a fait.",
    when: "Heure",
    from: "Depuis",
    not_you: "Si vous ne vous y attendez pas, prévenez tout de suite votre administrateur.",
};

const IT: Language = Language {
    app: "app di autenticazione",
    phone: "telefono",
    codes: "lista di codici di riserva",
    factor_added: "è stato aggiunto un secondo fattore",
    factor_added_text: "Al suo account è stato aggiunto un secondo fattore ({method}): d'ora in poi i suoi codici saranno richiesti all'accesso.",
    factor_removed: "è stato rimosso un secondo fattore",
    factor_removed_text: "Dal suo account è stato rimosso un secondo fattore ({method}): non viene più richiesto.",
    codes_replaced: (
        "ci sono nuovi codici di riserva",
        "Per il suo account sono stati creati nuovi codici di riserva. Quelli vecchi non valgono più.",
    ),
    code_used: "è stato usato un codice di riserva",
    code_used_text: "Per il suo account è stato usato un codice di riserva.",
    codes_left: "Codici non usati: {left}.",
    codes_few: "restano pochi codici di riserva",
    codes_few_text: "Ne crei di nuovi prima di averne bisogno.",
    password_changed: (
        "la password è stata cambiata",
        "La password del suo account è stata cambiata. Le altre sessioni sono terminate.",
    ),
    token_issued: (
        "si può impostare una password",
        "È stato emesso un codice monouso con cui si può impostare la password del suo account entro 24 ore.",
    ),
    new_network: (
        "la password è arrivata da una nuova rete",
        "La password giusta del suo account è stata inserita da una rete da cui non era arrivata di recente.",
    ),
    one_factor: (
        "un accesso non è stato completato",
        "È stata inserita la password giusta del suo account, o un codice per impostarne una nuova, e il secondo fattore non è seguito.",
    ),
    reset: (
        "i secondi fattori sono stati azzerati",
        "Tutti i secondi fattori del suo account sono stati rimossi, e lei è disconnesso ovunque.",
    ),
    address_changed: (
        "un indirizzo e-mail è stato cambiato",
        "Un indirizzo e-mail del suo account è stato cambiato. Questo messaggio è stato inviato al vecchio indirizzo e al nuovo.",
    ),
    deleted: (
        "l'account è stato rimosso",
        "Il suo account è stato rimosso. Questo messaggio è stato inviato un'ultima volta ai suoi indirizzi.",
    ),
    by_admin: "L'ha fatto un amministratore.",
    when: "Ora",
    from: "Da",
    not_you: "Se non se lo aspettava, avvisi subito il suo amministratore.",
};
