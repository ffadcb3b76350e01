//! The fields that say who the tenant is, and every spelling of them that an attacker may try.

use http::HeaderName;

/// The tenant's number.
pub static TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");
/// The tenant's slug.
pub static TENANT_SLUG: HeaderName = HeaderName::from_static("x-tenant-slug");
/// The signed assertion.
pub static TENANT_ASSERTION: HeaderName = HeaderName::from_static("x-tenant-assertion");

const IDENTITY: [&[u8]; 3] = [b"x-tenant-id", b"x-tenant-slug", b"x-tenant-assertion"];

/// Whether `name` is one of ours to an application server that folds case and takes `_` and `.` for `-`, as CGI and WSGI
/// environments do (CVE-2023-27487 and its kin).
pub fn is_identity_field(name: &str) -> bool {
    let name = name.as_bytes();
    // All three start with the same letter and lie between 11 and 18 bytes: most fields are told apart here.
    if !(11..=18).contains(&name.len()) || !matches!(name[0], b'x' | b'X') {
        return false;
    }
    IDENTITY
        .iter()
        .any(|ours| ours.len() == name.len() && name.iter().zip(*ours).all(|(a, b)| fold(*a) == *b))
}

fn fold(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' => b'-',
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_identity_field;

    #[test]
    fn every_spelling_is_ours() {
        for name in [
            "x-tenant-id",
            "X-Tenant-Id",
            "X_Tenant_Id",
            "x.tenant.id",
            "X-Tenant_Slug",
            "x_tenant.assertion",
        ] {
            assert!(is_identity_field(name), "{name}");
        }
        for name in [
            "x-tenant",
            "x-tenant-ids",
            "x-tenant-idx",
            "tenant-id",
            "accept",
            "x-request-id",
        ] {
            assert!(!is_identity_field(name), "{name}");
        }
    }
}
