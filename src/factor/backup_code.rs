//! Backup codes: ten to keep on paper, each of which works once. Kept as Argon2id hashes with one salt for the set, so that a guess
//! costs one hash, whatever it is compared with.

use anyhow::{Context, anyhow};

use super::{Answer, Factor, Stretch, Verdict, without_separators};
use crate::{
    clock::Timestamp,
    error::Error,
    hash::{Hasher, Queue},
    model::{EnrolledFactor, FactorData, Spend},
    secret::{self, Secret},
};

const FORMAT: u8 = 1;
const COUNT: usize = 10;
const LENGTH: u8 = 8;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// 32 letters and digits that are not taken for one another: no I, O, 0, 1.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// The factor. Its `spent` has a bit for each used code.
pub struct BackupCode;

/// A new set.
pub struct Set {
    /// The codes, to be shown once.
    pub codes: Vec<Secret<String>>,
    /// What is kept of them.
    pub data: FactorData,
}

/// Makes a new set. Its hashes are one job of the pool, behind those that somebody waits for to be let in.
pub async fn generate(hasher: &Hasher) -> Result<Set, Error> {
    let codes = (0..COUNT).map(|_| new_code()).collect::<anyhow::Result<Vec<_>>>()?;
    let salt: [u8; SALT_BYTES] = secret::random()?;
    let texts = codes.iter().map(|code| Secret::new(code.expose().clone())).collect();
    let hashes = hasher.digests(Queue::SignIn, texts, salt).await?;
    let mut data = Vec::with_capacity(2 + SALT_BYTES + COUNT * HASH_BYTES);
    data.extend_from_slice(&[FORMAT, LENGTH]);
    data.extend_from_slice(&salt);
    for hash in hashes {
        data.extend_from_slice(&hash);
    }
    Ok(Set { codes, data: FactorData::new(data) })
}

/// How many codes of a set are left.
pub fn remaining(factor: &EnrolledFactor) -> Result<u32, Error> {
    if factor.data.is_damaged() {
        return Ok(0);
    }
    let count = u32::try_from(parts(&factor.data)?.hashes.len()).unwrap_or(u32::MAX);
    Ok(count.saturating_sub(factor.spent.count_ones()))
}

impl Factor for BackupCode {
    fn amr(&self) -> &'static [&'static str] {
        &["mfa", "urn:countersign:amr:backup_code"]
    }

    fn code_length(&self, data: &FactorData) -> Result<u8, Error> {
        Ok(parts(data)?.length)
    }

    fn usual_length(&self) -> u8 {
        8
    }

    fn is_used_up(&self, factor: &EnrolledFactor) -> Result<bool, Error> {
        Ok(remaining(factor)? == 0)
    }

    fn fits(&self, input: &str, length: u8) -> bool {
        let code = canonical(input);
        let code = code.expose().as_bytes();
        code.len() == usize::from(length)
            && code.iter().all(|letter| ALPHABET.contains(letter))
            && code.iter().any(u8::is_ascii_alphabetic)
    }

    fn stretch(&self, input: &str, data: &FactorData) -> Result<Option<Stretch>, Error> {
        let Parts { length, salt, .. } = parts(data)?;
        Ok(self.fits(input, length).then(|| Stretch { text: canonical(input), salt }))
    }

    fn judge(&self, answer: &Answer, data: &FactorData, spent: i64, _: Timestamp) -> Result<Verdict, Error> {
        let Some(hash) = answer.hash else {
            return Ok(Verdict::Wrong);
        };
        let mut verdict = Verdict::Wrong;
        // Every code is looked at, so that the time does not tell which one fits.
        for (index, known) in parts(data)?.hashes.iter().enumerate() {
            if secret::same(&hash, known) {
                let bit = 1_i64 << index;
                verdict = if spent & bit == 0 { Verdict::Right { spend: Spend::Bit(bit) } } else { Verdict::Replay };
            }
        }
        Ok(verdict)
    }
}

struct Parts<'a> {
    length: u8,
    salt: [u8; SALT_BYTES],
    hashes: &'a [[u8; HASH_BYTES]],
}

fn parts(data: &FactorData) -> anyhow::Result<Parts<'_>> {
    let [FORMAT, length, rest @ ..] = data.expose() else {
        return Err(anyhow!("stored backup codes have an unknown form"));
    };
    let (salt, rest) = rest.split_first_chunk::<SALT_BYTES>().context("stored backup codes are cut short")?;
    let (hashes, surplus) = rest.as_chunks::<HASH_BYTES>();
    anyhow::ensure!(surplus.is_empty() && hashes.len() < 63, "stored backup codes have an unknown form");
    Ok(Parts { length: *length, salt: *salt, hashes })
}

/// Case and separators do not matter.
fn canonical(input: &str) -> Secret<String> {
    Secret::new(without_separators(input).expose().to_ascii_uppercase())
}

/// Eight letters and digits, 40 bits, of which one at least is a letter, so that no code of digits is taken for it.
fn new_code() -> anyhow::Result<Secret<String>> {
    loop {
        let letters = secret::random::<{ LENGTH as usize }>()?.map(|byte| ALPHABET[usize::from(byte % 32)]);
        if letters.iter().any(u8::is_ascii_alphabetic) {
            return Ok(Secret::new(letters.map(char::from).iter().collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_code_has_its_form_and_case_and_separators_do_not_matter() -> anyhow::Result<()> {
        for _ in 0..2000 {
            let code = new_code()?;
            let code = code.expose();
            assert!(BackupCode.fits(code, LENGTH), "{code}");
            assert!(BackupCode.fits(&format!(" {}-{}", code[..4].to_lowercase(), &code[4..]), LENGTH));
        }
        for bad in ["23456789", "ABCDEFG", "ABCDEFGHJ", "ABCDEFG0", "ABCDEFGI", "ÀBCDEFGH", ""] {
            assert!(!BackupCode.fits(bad, LENGTH), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn every_letter_of_the_alphabet_comes_as_often_as_any_other() -> anyhow::Result<()> {
        const CODES: usize = 4000;
        let mut counts = [0_usize; 128];
        for _ in 0..CODES {
            for letter in new_code()?.expose().bytes() {
                counts[usize::from(letter)] += 1;
            }
        }
        let expected = CODES * usize::from(LENGTH) / ALPHABET.len();
        for letter in ALPHABET {
            // Ten standard deviations: chance alone never gets there.
            let count = counts[usize::from(*letter)];
            assert!(count.abs_diff(expected) < 320, "{}: {count} instead of {expected}", char::from(*letter));
        }
        Ok(())
    }

    #[test]
    fn stored_codes_of_another_form_are_refused() {
        for bytes in [&[][..], &[2, 8], &[1, 8, 0, 0], &[1, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]] {
            assert!(parts(&FactorData::new(bytes.to_vec())).is_err(), "{bytes:?}");
        }
    }
}
