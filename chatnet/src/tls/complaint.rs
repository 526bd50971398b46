//! What is wrong with a certificate, in words for the person who has to do something about it.

use std::time::Duration;

use rustls::{CertificateError as E, Error, pki_types::UnixTime};

/// What is wrong with the other side's certificate, if that is what `error` is about.
pub(super) fn about(error: &Error) -> Option<String> {
    if let Error::InvalidCertificate(error) = error {
        return Some(known(error).unwrap_or_else(|| format!("its check failed: {error}")));
    }
    matches!(error, Error::NoCertificatesPresented).then(|| "there is none".to_owned())
}

/// None for what cannot come from the checks that are made here.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library may add what can be wrong with a certificate"
)]
fn known(error: &E) -> Option<String> {
    let text = match error {
        E::BadEncoding => "it is malformed",
        E::Expired => "it has expired",
        E::ExpiredContext { time, not_after } => {
            return Some(format!("it has expired, {} days ago", days(*not_after, *time)));
        }
        E::NotValidYet => "it is not valid yet",
        E::NotValidYetContext { time, not_before } => {
            return Some(format!("it is not valid yet, but in {} days", days(*time, *not_before)));
        }
        E::Revoked => "it was revoked",
        E::UnknownIssuer => "none of the authorities that are trusted here has signed it",
        E::BadSignature => {
            "a signature is wrong: somebody else has signed than it says, or its key is another one"
        }
        E::NotValidForName => "it is for another name",
        E::NotValidForNameContext { expected, presented } => {
            let names = presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "no name" } else { &names };
            return Some(format!("it is for {names}, and not for {}", expected.to_str()));
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "it is not meant for servers",
        E::UnhandledCriticalExtension => "it demands something that is not known here",
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way that is not known here"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// Whole days from one time to a later one.
fn days(from: UnixTime, to: UnixTime) -> u64 {
    Duration::from_secs(to.as_secs().saturating_sub(from.as_secs())).as_secs() / (24 * 60 * 60)
}

/// A name without what the library puts around it, as in `DnsName("localhost")`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;

    #[test]
    fn what_is_wrong_is_said_in_words_of_our_own() {
        let at = |days: u64| UnixTime::since_unix_epoch(Duration::from_secs(days * 24 * 60 * 60));
        let name = |text: &str| ServerName::try_from(text.to_owned()).unwrap();
        let cases = [
            (E::ExpiredContext { time: at(20), not_after: at(13) }, "it has expired, 7 days ago"),
            (E::NotValidYetContext { time: at(2), not_before: at(5) }, "it is not valid yet, but in 3 days"),
            (E::UnknownIssuer, "none of the authorities that are trusted here has signed it"),
            (
                E::NotValidForNameContext {
                    expected: name("chat.example"),
                    presented: vec!["DnsName(\"localhost\")".to_owned(), "IpAddress(127.0.0.1)".to_owned()],
                },
                "it is for localhost, 127.0.0.1, and not for chat.example",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(about(&Error::InvalidCertificate(error)).as_deref(), Some(text));
        }
        let bad = about(&Error::InvalidCertificate(E::BadSignature)).unwrap();
        assert!(bad.starts_with("a signature is wrong"), "{bad}");
        assert_eq!(about(&Error::NoCertificatesPresented).as_deref(), Some("there is none"));
        assert_eq!(about(&Error::DecryptError), None);
    }
}
