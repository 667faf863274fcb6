//! Debian's slapd with a small directory of its own, and an authority that gives it a certificate.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// The service account, and its password.
pub(crate) const SERVICE_DN: &str = "cn=reader,dc=example,dc=sn";
pub(crate) const SERVICE_PASSWORD: &str = "planted-reader";
/// Where the people are.
pub(crate) const BASE: &str = "ou=people,dc=example,dc=sn";

/// What of Active Directory's schema logins use. Debian has it, too, but without the rules that searches need.
const ACTIVE_DIRECTORY: &str = "\
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName'
  EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName'
  EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP organizationalPerson STRUCTURAL
  MAY ( sAMAccountName $ userPrincipalName ) )
";

/// People: two in the base, one outside, one twice, names that need escaping, and one like in Active Directory.
const LDIF: &str = "\
dn: dc=example,dc=sn
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=reader,dc=example,dc=sn
objectClass: person
cn: reader
sn: reader
userPassword: planted-reader

dn: ou=people,dc=example,dc=sn
objectClass: organizationalUnit
ou: people

dn: ou=elsewhere,dc=example,dc=sn
objectClass: organizationalUnit
ou: elsewhere

dn: uid=bob,ou=people,dc=example,dc=sn
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Bob
mail: bob@example.sn
userPassword: planted-bob

dn: uid=alice,ou=people,dc=example,dc=sn
objectClass: inetOrgPerson
uid: alice
cn: Alice
sn: Alice
userPassword: {SHA}ZPhjIQ8xRMVwrmOUBCz24k3D8Lw=

dn: uid=oumar,ou=elsewhere,dc=example,dc=sn
objectClass: inetOrgPerson
uid: oumar
cn: Oumar
sn: Oumar
userPassword: planted-oumar

dn: cn=Twin One,ou=people,dc=example,dc=sn
objectClass: inetOrgPerson
uid: twin
cn: Twin One
sn: One
userPassword: planted-twin

dn: cn=Twin Two,ou=people,dc=example,dc=sn
objectClass: inetOrgPerson
uid: twin
cn: Twin Two
sn: Two
userPassword: planted-twin

dn: cn=Diop\\, Ndeye,ou=people,dc=example,dc=sn
objectClass: user
cn: Diop, Ndeye
sn: Diop
sAMAccountName: ndeye
userPrincipalName: ndeye@corp.example.sn
userPassword: planted-ndeye

dn: cn=hosts,dc=example,dc=sn
objectClass: groupOfUniqueNames
cn: hosts
uniqueMember: uid=bob,ou=people,dc=example,dc=sn
";

/// A running server, which ends with this.
pub(crate) struct Slapd {
    child: Child,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
}

/// What a server needs.
#[derive(Default)]
pub(crate) struct Setup<'a> {
    /// Gives the server a certificate for these names; without it there is no TLS.
    pub(crate) authority: Option<(&'a Authority, &'a [&'a str])>,
    /// Lines for `slapd.conf`, before the database.
    pub(crate) global: &'a str,
    /// Entries beside the usual ones.
    pub(crate) entries: &'a str,
}

impl Slapd {
    pub(crate) fn plain() -> Self {
        Self::start(&Setup::default())
    }

    pub(crate) fn start(setup: &Setup<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("db")).unwrap();
        let tls = setup.authority.map_or_else(String::new, |(authority, names)| {
            let (certificate, key) = authority.issue(names);
            fs::write(at("cert.pem"), certificate).unwrap();
            fs::write(at("key.pem"), key).unwrap();
            fs::write(at("ca.pem"), &authority.pem).unwrap();
            format!(
                "TLSCACertificateFile {0}/ca.pem\nTLSCertificateFile {0}/cert.pem\nTLSCertificateKeyFile {0}/key.pem\n",
                dir.path().display()
            )
        });
        let configuration = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\n{ACTIVE_DIRECTORY}\n\
             modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {0}/pid\n{tls}{1}\n\
             database mdb\nmaxsize 16777216\nsuffix \"dc=example,dc=sn\"\nrootdn \"cn=root,dc=example,dc=sn\"\ndirectory {0}/db\n\
             access to attrs=userPassword by dn.exact=\"{SERVICE_DN}\" read by anonymous auth by * none\n\
             access to * by * read\n",
            dir.path().display(),
            setup.global
        );
        fs::write(at("slapd.conf"), configuration).unwrap();
        fs::write(at("data.ldif"), format!("{LDIF}\n{}", setup.entries)).unwrap();
        let added =
            Command::new("/usr/sbin/slapadd").arg("-f").arg(at("slapd.conf")).arg("-l").arg(at("data.ldif")).output();
        let added = added.expect("slapd is installed (make setup-tests)");
        assert!(added.status.success(), "slapadd: {}", String::from_utf8_lossy(&added.stderr));
        // A port may be taken between the look and the start.
        for _ in 0..5 {
            let (port, tls_port) = (free_port(), free_port());
            let urls = format!("ldap://127.0.0.1:{port}/ ldaps://127.0.0.1:{tls_port}/");
            let urls = if setup.authority.is_some() { urls.as_str() } else { urls.split(' ').next().unwrap() };
            let log = fs::File::create(at("log")).unwrap();
            let mut child = Command::new("/usr/sbin/slapd")
                .args(["-d", "256", "-h", urls, "-f"])
                .arg(at("slapd.conf"))
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            for _ in 0..200 {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { child, dir, port, tls_port };
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            // It ended, or does not listen.
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("slapd does not start: {}", fs::read_to_string(dir.path().join("log")).unwrap_or_default());
    }

    pub(crate) fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    pub(crate) fn tls_url(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.tls_port)
    }

    /// What the server says that it was asked.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port on which nobody listens.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An authority of a test's own.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for names, and its key, as PEM.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "test");
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// The authority's certificate as a file.
    pub(crate) fn write(&self, dir: &Path) -> PathBuf {
        let path = dir.join(format!("ca-{}.pem", free_port()));
        fs::write(&path, &self.pem).unwrap();
        path
    }
}
