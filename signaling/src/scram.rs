//! The server's side of SCRAM (RFC 5802, RFC 7677): what is said and what it proves. Messages are in `xmpp::scram`.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use xmpp::Jid;
use xmpp::sasl::{SaslCondition, ScramHash};
use xmpp::scram::{ChannelBindingFlag, ClientFinal, ClientFirst, server_final, server_first};

use ::accounts::{digest_of, sign};

use crate::accounts::Login;
use crate::stream::ChannelBinding;

/// A login between the server's first message and the client's last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScramExchange {
    /// The account that somebody wants to be, whether there is one or not.
    claimed: Jid,
    login: Login,
    /// Both nonces.
    nonce: String,
    /// The messages so far, which both sides sign.
    signed: String,
    /// What the client has to have seen of the channel.
    binding: Vec<u8>,
}

/// What the client shall use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScramKind {
    pub(crate) hash: ScramHash,
    /// The mechanism is one with channel binding.
    pub(crate) is_bound: bool,
    /// Such a mechanism was offered.
    pub(crate) offers_binding: bool,
}

/// A login whose account is being looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScramStart {
    /// The account, by bare JID; whether there is one is not known.
    pub(crate) jid: Jid,
    pub(crate) hash: ScramHash,
    /// Both nonces.
    nonce: String,
    /// The client's first message without its header.
    bare: String,
    binding: Vec<u8>,
}

impl ScramStart {
    /// Takes the client's first message. `domain` is where the account is, `nonce` the server's part of the nonce.
    pub(crate) fn parse(
        message: &[u8],
        nonce: &str,
        kind: ScramKind,
        bindings: &[ChannelBinding],
        domain: &Jid,
    ) -> Result<Self, SaslCondition> {
        let first = ClientFirst::parse(message)?;
        let mut binding = first.gs2_header.clone().into_bytes();
        match (&first.binding, kind.is_bound) {
            (ChannelBindingFlag::Used(name), true) => {
                let data = bindings.iter().find(|binding| binding.name == name.as_str());
                binding.extend_from_slice(&data.ok_or(SaslCondition::MalformedRequest)?.data);
            }
            // Somebody in between took the mechanisms with channel binding off the list (RFC 5802 §6).
            (ChannelBindingFlag::NotOffered, false) if kind.offers_binding => return Err(SaslCondition::NotAuthorized),
            (ChannelBindingFlag::NotOffered | ChannelBindingFlag::Unsupported, false) => {}
            (ChannelBindingFlag::Used(_), false)
            | (ChannelBindingFlag::NotOffered | ChannelBindingFlag::Unsupported, true) => {
                return Err(SaslCondition::MalformedRequest);
            }
        }
        let jid = Jid::new(Some(&first.username), domain.domain(), None).map_err(|_| SaslCondition::NotAuthorized)?;
        if first.authzid.is_some_and(|authzid| authzid.parse() != Ok(jid.clone())) {
            return Err(SaslCondition::InvalidAuthzid);
        }
        let nonce = format!("{}{nonce}", first.nonce);
        Ok(Self { jid, hash: kind.hash, nonce, bare: first.bare, binding })
    }

    /// The account is known, or that there is none: answers the server's first message.
    pub(crate) fn answer(self, login: Login) -> (ScramExchange, String) {
        let Self { jid: claimed, nonce, bare, binding, .. } = self;
        let answer = server_first(&nonce, &login.keys.salt, login.keys.iterations.get());
        let signed = format!("{bare},{answer}");
        (ScramExchange { claimed, login, nonce, signed, binding }, answer)
    }
}

impl ScramExchange {
    /// The account that somebody wants to be.
    pub(crate) fn claimed(&self) -> &Jid {
        &self.claimed
    }

    /// Takes the client's last message: answers who it is, and the server's last message.
    pub(crate) fn finish(self, message: &[u8]) -> Result<(Jid, String), SaslCondition> {
        let last = ClientFinal::parse(message)?;
        if last.nonce != self.nonce || last.binding != self.binding {
            return Err(SaslCondition::NotAuthorized);
        }
        let keys = &self.login.keys;
        let signed = format!("{},{}", self.signed, last.without_proof);
        let client_signature = sign(keys.hash, &keys.stored_key, signed.as_bytes());
        if last.proof.len() != client_signature.len() {
            return Err(SaslCondition::NotAuthorized);
        }
        let client_key: Vec<u8> = last.proof.iter().zip(&client_signature).map(|(proof, sign)| proof ^ sign).collect();
        let shown = digest::digest(digest_of(keys.hash), &client_key);
        let is_right = verify_slices_are_equal(shown.as_ref(), &keys.stored_key).is_ok();
        match self.login.jid {
            Some(jid) if is_right => Ok((jid, server_final(&sign(keys.hash, &keys.server_key, signed.as_bytes())))),
            Some(_) | None => Err(SaslCondition::NotAuthorized),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use ::accounts::ScramKeys;

    use crate::accounts::Accounts;
    use crate::{Account, Secret, Settings};

    /// The exchanges of RFC 5802 §5 and RFC 7677 §3, as the server goes through them.
    fn exchange_of_the_rfc(hash: ScramHash, salt: &str, first: &str, nonce: &str, last: &str) -> (String, String) {
        let salt = STANDARD.decode(salt).unwrap();
        let keys = ScramKeys::of_password(hash, "pencil", salt, NonZeroU32::new(4096).unwrap());
        let first = ClientFirst::parse(first.as_bytes()).unwrap();
        let nonce = format!("{}{nonce}", first.nonce);
        let answer = server_first(&nonce, &keys.salt, keys.iterations.get());
        let exchange = ScramExchange {
            claimed: "user@d".parse().unwrap(),
            login: Login { jid: Some("user@d".parse().unwrap()), keys },
            signed: format!("{},{answer}", first.bare),
            nonce,
            binding: first.gs2_header.into_bytes(),
        };
        let (jid, end) = exchange.finish(last.as_bytes()).unwrap();
        assert_eq!(jid.as_str(), "user@d");
        (answer, end)
    }

    #[test]
    fn the_exchanges_of_the_rfcs_come_out() {
        let (answer, end) = exchange_of_the_rfc(
            ScramHash::Sha1,
            "QSXCR+Q6sek8bf92",
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        );
        assert_eq!(answer, "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
        assert_eq!(end, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
        let (answer, end) = exchange_of_the_rfc(
            ScramHash::Sha256,
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        );
        assert_eq!(answer, "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        assert_eq!(end, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    struct Try<'a> {
        first: &'a str,
        is_bound: bool,
        offers_binding: bool,
        password: &'a str,
        channel: &'a [u8],
    }

    const GOOD: Try<'_> =
        Try { first: "n,,n=jvb,r=abc", is_bound: false, offers_binding: false, password: "pw", channel: b"" };

    /// A client that is told the salt and proves its password.
    #[expect(clippy::unwrap_in_result, reason = "what is unwrapped is of the test itself")]
    fn log_in(client: &Try<'_>) -> Result<(Jid, String), SaslCondition> {
        let mut settings = Settings::default();
        let jid = "jvb@auth.meet.jitsi".parse().unwrap();
        settings.accounts.push(Account { jid, password: Secret::new("pw").unwrap() });
        let accounts = Accounts::of(&settings, &mut StdRng::from_seed([1; 32]));
        let bindings = [ChannelBinding { name: "tls-exporter", data: b"channel".to_vec() }];
        let kind =
            ScramKind { hash: ScramHash::Sha256, is_bound: client.is_bound, offers_binding: client.offers_binding };
        let bindings = if client.offers_binding { bindings.as_slice() } else { &[] };
        let start = ScramStart::parse(client.first.as_bytes(), "xyz", kind, bindings, &settings.hosts.auth)?;
        let login = accounts.named(&start.jid, start.hash);
        let login = login.unwrap_or_else(|| accounts.login(&start.jid, start.hash, None));
        let (exchange, answer) = start.answer(login);
        let salt = answer.split_once(",s=").unwrap().1.split(',').next().unwrap();
        let iterations = NonZeroU32::new(4096).unwrap();
        let hash = ScramHash::Sha256;
        let mut salted = [0; 32];
        aws_lc_rs::pbkdf2::derive(
            aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            &STANDARD.decode(salt).unwrap(),
            client.password.as_bytes(),
            &mut salted,
        );
        let client_key = sign(hash, &salted, b"Client Key");
        let stored_key = digest::digest(digest_of(hash), &client_key);
        let header_end = client.first.find("n=").unwrap();
        let (header, bare) = client.first.split_at(header_end);
        let binding = STANDARD.encode([header.as_bytes(), client.channel].concat());
        let without_proof = format!("c={binding},r=abcxyz");
        let signature = sign(hash, stored_key.as_ref(), format!("{bare},{answer},{without_proof}").as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        exchange.finish(format!("{without_proof},p={}", STANDARD.encode(proof)).as_bytes())
    }

    #[test]
    fn who_knows_the_password_is_let_in_and_nobody_else() {
        assert_eq!(log_in(&GOOD).unwrap().0.as_str(), "jvb@auth.meet.jitsi");
        let refused = Err(SaslCondition::NotAuthorized);
        assert_eq!(log_in(&Try { password: "pW", ..GOOD }), refused);
        assert_eq!(log_in(&Try { first: "n,,n=nobody,r=abc", ..GOOD }), refused);
        assert_eq!(log_in(&Try { first: "n,,n=a b,r=abc", ..GOOD }), refused);
        assert_eq!(
            log_in(&Try { first: "n,a=focus@auth.meet.jitsi,n=jvb,r=abc", ..GOOD }),
            Err(SaslCondition::InvalidAuthzid)
        );
        assert!(log_in(&Try { first: "n,a=jvb@auth.meet.jitsi,n=jvb,r=abc", ..GOOD }).is_ok());
    }

    #[test]
    fn a_channel_has_to_be_the_one_that_both_sides_see() {
        let bound = Try {
            first: "p=tls-exporter,,n=jvb,r=abc",
            is_bound: true,
            offers_binding: true,
            channel: b"channel",
            ..GOOD
        };
        assert!(log_in(&bound).is_ok());
        assert_eq!(log_in(&Try { channel: b"another", ..bound }), Err(SaslCondition::NotAuthorized));
        let unknown = Try { first: "p=tls-unique,,n=jvb,r=abc", ..bound };
        assert_eq!(log_in(&unknown), Err(SaslCondition::MalformedRequest));
        assert_eq!(log_in(&Try { is_bound: false, ..bound }), Err(SaslCondition::MalformedRequest));
        assert_eq!(log_in(&Try { first: "n,,n=jvb,r=abc", ..bound }), Err(SaslCondition::MalformedRequest));
    }

    #[test]
    fn a_client_that_was_kept_from_channel_binding_is_refused() {
        let kept = Try { first: "y,,n=jvb,r=abc", offers_binding: true, ..GOOD };
        assert_eq!(log_in(&kept), Err(SaslCondition::NotAuthorized));
        assert!(log_in(&Try { offers_binding: false, ..kept }).is_ok());
    }
}
