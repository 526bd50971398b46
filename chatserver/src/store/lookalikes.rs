//! Which names could be mistaken for one another: no two accounts may, because people tell each other apart by names alone.

use unicode_normalization::UnicodeNormalization as _;

/// Two forms of a name, each unique among the accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forms {
    /// The name in compatibility form, without case: `Alice`, `ALICE` and fullwidth `ａlice` are one.
    pub(super) folded: String,
    /// Its skeleton (Unicode Technical Standard 39), without case: `раураl` in Cyrillic letters and `paypal` are one, and
    /// so are `Ian` and `lan`.
    pub(super) skeleton: String,
}

impl Forms {
    pub(super) fn of(name: &str) -> Self {
        let plain = name.nfkc().collect::<String>();
        // Lower case may leave compatibility form, for a few letters with marks.
        let folded = lower(&plain).nfkc().collect();
        let skeleton = lower(&unicode_security::confusable_detection::skeleton(&plain).collect::<String>());
        Self { folded, skeleton }
    }
}

/// Through upper case, so that letters with two small forms (σ and ς) or none of their own (ß) meet.
fn lower(text: &str) -> String {
    text.to_uppercase().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meet(a: &str, b: &str) -> bool {
        let (a, b) = (Forms::of(a), Forms::of(b));
        a.folded == b.folded || a.skeleton == b.skeleton
    }

    #[test]
    fn names_that_differ_in_case_width_or_script_alone_meet() {
        for (a, b) in [
            ("alice", "Alice"),
            ("alice", "ALICE"),
            ("alice", "ａｌｉｃｅ"),
            ("alice", "аlice"),
            ("paypal", "раураl"),
            ("Ian", "lan"),
            ("b0b", "bOb"),
            ("straße", "STRASSE"),
            ("οδος", "ΟΔΟΣ"),
            ("mark", "rnark"),
        ] {
            assert!(meet(a, b), "{a} and {b}");
        }
    }

    #[test]
    fn names_that_look_different_stay_apart() {
        for (a, b) in
            [("alice", "alicia"), ("bob", "rob"), ("anna", "anna2"), ("user12", "user21"), ("李", "王")]
        {
            assert!(!meet(a, b), "{a} and {b}");
        }
    }
}
