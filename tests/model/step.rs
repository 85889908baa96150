//! The steps that sequences are made of. A number picks among what there is when the step is taken.

use proptest::prelude::*;

/// A code that somebody types.
#[derive(Clone, Copy, Debug)]
pub enum Typed {
    /// What the authenticator of a factor shows, so many steps from now.
    Totp { factor: usize, offset: i64 },
    /// Digits that are right for no factor.
    WrongDigits,
    /// A backup code of the present set.
    Backup(usize),
    /// A backup code of no set.
    WrongBackup,
    /// Something that has the form of no code.
    Misfit,
    /// What the authenticator of another user shows.
    Foreign,
}

/// A step.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A sign-in by password.
    SignIn { user: usize, right: bool },
    /// A sign-in, and an enrolment from its start to its confirmation.
    Enrol { user: usize },
    /// A sign-in, and a code for its challenge.
    Login { user: usize, code: Typed },
    /// Wrong codes in a row, each with a sign-in of its own.
    Guess { user: usize, times: usize, backup: bool },
    /// The start of an enrolment; perhaps in the place of a factor.
    Enable { user: usize, session: usize, replaces: Option<usize> },
    /// The confirmation of the pending enrolment; with its code or a wrong one, perhaps by another session.
    Confirm { user: usize, session: usize, right: bool },
    /// A code for a challenge of a sign-in.
    Verify { user: usize, challenge: usize, code: Typed },
    /// A step-up challenge.
    OpenStepUp { user: usize, session: usize },
    /// A code for a step-up challenge, perhaps by another session.
    VerifyStepUp { user: usize, challenge: usize, session: usize, code: Typed },
    /// A new set of backup codes, perhaps with a code in the call.
    Generate { user: usize, session: usize, code: Option<Typed> },
    /// The removal of one factor or of all, perhaps with a code in the call.
    Disable { user: usize, session: usize, factor: Option<usize>, code: Option<Typed> },
    /// A refresh with the good token, or the one before it.
    Refresh { user: usize, session: usize, previous: bool },
    /// The end of a session, or of all.
    EndSession { user: usize, session: usize, all: bool },
    /// A new password, with the present one.
    ChangePassword { user: usize, session: usize },
    /// Time goes by.
    Wait { seconds: u64 },
}

impl Step {
    /// Whose step it is; None = nobody's.
    pub fn user(&self) -> Option<usize> {
        match self {
            Self::SignIn { user, .. }
            | Self::Enrol { user }
            | Self::Guess { user, .. }
            | Self::Login { user, .. }
            | Self::Enable { user, .. }
            | Self::Confirm { user, .. }
            | Self::Verify { user, .. }
            | Self::OpenStepUp { user, .. }
            | Self::VerifyStepUp { user, .. }
            | Self::Generate { user, .. }
            | Self::Disable { user, .. }
            | Self::Refresh { user, .. }
            | Self::EndSession { user, .. }
            | Self::ChangePassword { user, .. } => Some(*user),
            Self::Wait { .. } => None,
        }
    }
}

impl Arbitrary for Typed {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        prop_oneof![
            6 => (0..3_usize, -2..3_i64).prop_map(|(factor, offset)| Self::Totp { factor, offset }),
            2 => Just(Self::WrongDigits),
            4 => (0..10_usize).prop_map(Self::Backup),
            1 => Just(Self::WrongBackup),
            1 => Just(Self::Misfit),
            1 => Just(Self::Foreign),
        ]
        .boxed()
    }
}

impl Arbitrary for Step {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        // Two of three steps are the first user's, so that much happens to one account.
        let user = || prop_oneof![2 => Just(0_usize), 1 => 0..3_usize];
        let pick = || 0..4_usize;
        let maybe_code = || prop::option::of(any::<Typed>());
        prop_oneof![
            4 => (user(), prop::bool::weighted(0.8)).prop_map(|(user, right)| Self::SignIn { user, right }),
            8 => user().prop_map(|user| Self::Enrol { user }),
            12 => (user(), any::<Typed>()).prop_map(|(user, code)| Self::Login { user, code }),
            2 => (user(), 4..8_usize, any::<bool>()).prop_map(|(user, times, backup)| Self::Guess { user, times, backup }),
            4 => (user(), pick(), prop::option::weighted(0.2, pick()))
                .prop_map(|(user, session, replaces)| Self::Enable { user, session, replaces }),
            5 => (user(), pick(), prop::bool::weighted(0.8))
                .prop_map(|(user, session, right)| Self::Confirm { user, session, right }),
            10 => (user(), pick(), any::<Typed>())
                .prop_map(|(user, challenge, code)| Self::Verify { user, challenge, code }),
            3 => (user(), pick()).prop_map(|(user, session)| Self::OpenStepUp { user, session }),
            6 => (user(), pick(), pick(), any::<Typed>())
                .prop_map(|(user, challenge, session, code)| Self::VerifyStepUp { user, challenge, session, code }),
            4 => (user(), pick(), maybe_code()).prop_map(|(user, session, code)| Self::Generate { user, session, code }),
            2 => (user(), pick(), prop::option::of(pick()), maybe_code())
                .prop_map(|(user, session, factor, code)| Self::Disable { user, session, factor, code }),
            3 => (user(), pick(), any::<bool>())
                .prop_map(|(user, session, previous)| Self::Refresh { user, session, previous }),
            1 => (user(), pick(), any::<bool>()).prop_map(|(user, session, all)| Self::EndSession { user, session, all }),
            1 => (user(), pick()).prop_map(|(user, session)| Self::ChangePassword { user, session }),
            6 => prop_oneof![4 => Just(30_u64), 4 => Just(31), 1 => Just(1), 1 => Just(61), 1 => Just(299), 1 => Just(3600)]
                .prop_map(|seconds| Self::Wait { seconds }),
        ]
        .boxed()
    }
}
