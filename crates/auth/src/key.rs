//! Keys that signatures are checked with, each for the algorithms of its own kind only: a public key is never a secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::crypto;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use crate::der::{PublicKeyInfo, rsa_modulus_len};

/// rsaEncryption, 1.2.840.113549.1.1.1 (RFC 8017).
const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
/// id-ecPublicKey, 1.2.840.10045.2.1 (RFC 5480).
const EC: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
/// id-Ed25519, 1.3.101.112 (RFC 8410).
const ED25519: &[u8] = &[0x2B, 0x65, 0x70];
/// Bytes of an RSA modulus: weaker keys are broken, larger ones take long to check with.
const RSA_MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;
/// Mark of an uncompressed point (SEC 1 §2.3.3), the only form that is taken.
const UNCOMPRESSED: u8 = 4;

/// A key to check signatures with. Not printable.
#[derive(Clone)]
pub struct VerifyingKey {
    kind: KeyKind,
    key: DecodingKey,
    /// The one algorithm that it is for, where its owner said so.
    only: Option<Algorithm>,
}

/// What kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Why something is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// An empty secret would sign everything.
    #[error("the secret is empty")]
    Empty,
    /// Neither a public key nor a certificate in PEM, or a damaged one.
    #[error("is neither a public key nor a certificate in PEM")]
    NotPem,
    /// Not of the form of RFC 7517.
    #[error("is no JSON web key")]
    NotJwk,
    /// A kind of key that no algorithm here uses: other curves, symmetric keys in public lists, keys to encrypt with.
    #[error("is of a kind that no signature is checked with")]
    Unsupported,
    /// An RSA key with fewer than 2048 or more than 8192 bits.
    #[error("is an RSA key of fewer than 2048 or more than 8192 bits")]
    RsaSize,
}

impl VerifyingKey {
    /// A secret that both sides know.
    ///
    /// # Errors
    /// [`InvalidKey::Empty`].
    pub fn shared(secret: &[u8]) -> Result<Self, InvalidKey> {
        let key = DecodingKey::from_secret(secret).map_err(|_| InvalidKey::Empty)?;
        Ok(Self { kind: KeyKind::Secret, key, only: None })
    }

    /// A public key in PEM (RFC 7468): as such, of the older form for RSA, or within a certificate.
    ///
    /// # Errors
    /// Why it is none.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidKey> {
        if let Some(der) = pem_body(pem, "RSA PUBLIC KEY") {
            return Self::rsa(&der);
        }
        let key = pem_body(pem, "PUBLIC KEY");
        let certificate = pem_body(pem, "CERTIFICATE");
        let info = match (&key, &certificate) {
            (Some(der), _) => PublicKeyInfo::read(der),
            (None, Some(der)) => PublicKeyInfo::of_certificate(der),
            (None, None) => None,
        };
        let PublicKeyInfo { algorithm, key } = info.ok_or(InvalidKey::NotPem)?;
        match algorithm {
            RSA => Self::rsa(key),
            EC => Self::point(key),
            ED25519 => Self::ed25519(key),
            _ => Err(InvalidKey::Unsupported),
        }
    }

    /// A public key in JSON (RFC 7517, RFC 8037).
    ///
    /// # Errors
    /// Why it is none.
    pub fn from_jwk(jwk: &Value) -> Result<Self, InvalidKey> {
        let jwk: Jwk = serde_json::from_value(jwk.clone()).map_err(|_| InvalidKey::NotJwk)?;
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return Err(InvalidKey::Unsupported);
        }
        let decoded = DecodingKey::from_jwk(&jwk).map_err(|_| InvalidKey::NotJwk);
        let bytes = |key: &DecodingKey| key.try_get_as_bytes().map(<[u8]>::to_vec).map_err(|_| InvalidKey::NotJwk);
        let key = if let AlgorithmParameters::RSA(parameters) = &jwk.algorithm {
            check_rsa_size(URL_SAFE_NO_PAD.decode(&parameters.n).map_err(|_| InvalidKey::NotJwk)?.len())?;
            Self { kind: KeyKind::Rsa, key: decoded?, only: None }
        } else if matches!(&jwk.algorithm, AlgorithmParameters::EllipticCurve(_)) {
            Self::point(&bytes(&decoded?)?)?
        } else if matches!(&jwk.algorithm, AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519)
        {
            Self::ed25519(&bytes(&decoded?)?)?
        } else {
            // A symmetric key in a list that everybody can read is no secret.
            return Err(InvalidKey::Unsupported);
        };
        let Some(named) = jwk.common.key_algorithm else { return Ok(key) };
        let only = algorithm_of(named).filter(|algorithm| key.serves(*algorithm));
        only.map(|only| Self { only: Some(only), ..key }).ok_or(InvalidKey::Unsupported)
    }

    fn rsa(der: &[u8]) -> Result<Self, InvalidKey> {
        check_rsa_size(rsa_modulus_len(der).ok_or(InvalidKey::NotPem)?)?;
        Ok(Self { kind: KeyKind::Rsa, key: DecodingKey::from_rsa_der(der), only: None })
    }

    fn point(point: &[u8]) -> Result<Self, InvalidKey> {
        let kind = match (point.first(), point.len()) {
            (Some(&UNCOMPRESSED), 65) => KeyKind::P256,
            (Some(&UNCOMPRESSED), 97) => KeyKind::P384,
            _ => return Err(InvalidKey::Unsupported),
        };
        Ok(Self { kind, key: DecodingKey::from_ec_der(point), only: None })
    }

    fn ed25519(key: &[u8]) -> Result<Self, InvalidKey> {
        if key.len() != 32 {
            return Err(InvalidKey::Unsupported);
        }
        Ok(Self { kind: KeyKind::Ed25519, key: DecodingKey::from_ed_der(key), only: None })
    }

    /// Whether signatures by this algorithm may be checked with the key.
    #[must_use]
    pub fn serves(&self, algorithm: Algorithm) -> bool {
        let is_of_kind = match self.kind {
            KeyKind::Secret => is_symmetric(algorithm),
            KeyKind::Rsa => matches!(
                algorithm,
                Algorithm::RS256
                    | Algorithm::RS384
                    | Algorithm::RS512
                    | Algorithm::PS256
                    | Algorithm::PS384
                    | Algorithm::PS512
            ),
            KeyKind::P256 => algorithm == Algorithm::ES256,
            KeyKind::P384 => algorithm == Algorithm::ES384,
            KeyKind::Ed25519 => algorithm == Algorithm::EdDSA,
        };
        is_of_kind && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether it is a secret that both sides know.
    pub(crate) fn is_shared(&self) -> bool {
        self.kind == KeyKind::Secret
    }

    /// Whether `signature`, in base64url, is that of the key under `signed`.
    pub(crate) fn verifies(&self, algorithm: Algorithm, signed: &str, signature: &str) -> bool {
        self.serves(algorithm)
            && crypto::verify(signature, signed.as_bytes(), &self.key, algorithm).is_ok_and(|is_right| is_right)
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyingKey").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Whether both sides of an algorithm have the same key.
pub(crate) fn is_symmetric(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

fn check_rsa_size(modulus_len: usize) -> Result<(), InvalidKey> {
    if RSA_MODULUS.contains(&modulus_len) { Ok(()) } else { Err(InvalidKey::RsaSize) }
}

fn algorithm_of(name: KeyAlgorithm) -> Option<Algorithm> {
    serde_json::to_value(name).ok()?.as_str()?.parse().ok()
}

/// What is between the lines that mark a kind of thing in PEM (RFC 7468).
#[must_use]
pub fn pem_body(pem: &str, kind: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {kind}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {kind}-----"))?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}
