//! Tenants of a deployment: each has rooms at a domain of its own (`muc_domain_mapper` of stock).

/// The tenant in the domain of a tenant's rooms, where `service` is the domain of everybody's: `acme` of
/// `muc.acme.meet.example` for `muc.meet.example`.
#[must_use]
pub fn tenant_of<'d>(service: &str, domain: &'d str) -> Option<&'d str> {
    let (prefix, base) = service.split_once('.')?;
    let tenant = domain.strip_prefix(prefix)?.strip_prefix('.')?.strip_suffix(base)?.strip_suffix('.')?;
    (!tenant.is_empty() && !tenant.contains('.')).then_some(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_one_label_between_prefix_and_base() {
        let tenant = |domain| tenant_of("muc.meet.example", domain);
        assert_eq!(tenant("muc.acme.meet.example"), Some("acme"));
        for other in [
            "muc.meet.example",
            "muc..meet.example",
            "muc.a.b.meet.example",
            "muc.acme.other.example",
            "mucacme.meet.example",
        ] {
            assert_eq!(tenant(other), None, "{other}");
        }
        assert_eq!(tenant_of("rooms", "rooms.acme"), None);
    }
}
