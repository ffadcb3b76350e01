//! Other people's proxies that stand before names, told by where a name leads. It is advice in a hint and nothing is decided by it,
//! so that a range that is missing here does no harm.

use std::net::IpAddr;

use ipnet::IpNet;

/// The proxy to which an alias or an address belongs.
pub(super) fn of(aliases: &[String], addresses: &[IpAddr]) -> Option<&'static str> {
    let by_alias = ALIASES.iter().find(|(suffix, _)| {
        let below = |alias: &String| {
            alias
                .strip_suffix(suffix)
                .is_some_and(|rest| rest.ends_with('.'))
        };
        aliases.iter().any(below)
    });
    let by_address = || {
        NETWORKS.iter().find(|(network, _)| {
            let network: IpNet = network.parse().expect("the table holds networks");
            addresses.iter().any(|address| network.contains(address))
        })
    };
    by_alias.or_else(by_address).map(|(_, who)| *who)
}

/// What a customer does about it.
pub(super) fn hint(who: &str, name: &str, record: &str) -> String {
    match who {
        CLOUDFLARE => format!(
            "At Cloudflare, switch the record of {name} from \"Proxied\" to \"DNS only\" (the grey cloud), with: {record}"
        ),
        _ => format!("Take {name} out of {who} and set: {record}"),
    }
}

const CLOUDFLARE: &str = "Cloudflare";

/// Names under which proxies are reached by CNAME.
const ALIASES: &[(&str, &str)] = &[
    ("cdn.cloudflare.net", CLOUDFLARE),
    ("cloudfront.net", "Amazon CloudFront"),
    ("fastly.net", "Fastly"),
    ("fastlylb.net", "Fastly"),
    ("azureedge.net", "Azure Front Door"),
    ("azurefd.net", "Azure Front Door"),
    ("akamaiedge.net", "Akamai"),
    ("edgekey.net", "Akamai"),
    ("edgesuite.net", "Akamai"),
    ("b-cdn.net", "bunny.net"),
    ("incapdns.net", "Imperva"),
];

/// Published networks: cloudflare.com/ips, api.fastly.com/public-ip-list, and the larger ones of CLOUDFRONT in ip-ranges.json.
const NETWORKS: &[(&str, &str)] = &[
    ("103.21.244.0/22", CLOUDFLARE),
    ("103.22.200.0/22", CLOUDFLARE),
    ("103.31.4.0/22", CLOUDFLARE),
    ("104.16.0.0/13", CLOUDFLARE),
    ("104.24.0.0/14", CLOUDFLARE),
    ("108.162.192.0/18", CLOUDFLARE),
    ("131.0.72.0/22", CLOUDFLARE),
    ("141.101.64.0/18", CLOUDFLARE),
    ("162.158.0.0/15", CLOUDFLARE),
    ("172.64.0.0/13", CLOUDFLARE),
    ("173.245.48.0/20", CLOUDFLARE),
    ("188.114.96.0/20", CLOUDFLARE),
    ("190.93.240.0/20", CLOUDFLARE),
    ("197.234.240.0/22", CLOUDFLARE),
    ("198.41.128.0/17", CLOUDFLARE),
    ("2400:cb00::/32", CLOUDFLARE),
    ("2405:8100::/32", CLOUDFLARE),
    ("2405:b500::/32", CLOUDFLARE),
    ("2606:4700::/32", CLOUDFLARE),
    ("2803:f800::/32", CLOUDFLARE),
    ("2a06:98c0::/29", CLOUDFLARE),
    ("2c0f:f248::/32", CLOUDFLARE),
    ("23.235.32.0/20", "Fastly"),
    ("104.156.80.0/20", "Fastly"),
    ("140.248.64.0/18", "Fastly"),
    ("140.248.128.0/17", "Fastly"),
    ("146.75.0.0/17", "Fastly"),
    ("151.101.0.0/16", "Fastly"),
    ("199.232.0.0/16", "Fastly"),
    ("2a04:4e40::/32", "Fastly"),
    ("2a04:4e42::/32", "Fastly"),
    ("13.32.0.0/15", "Amazon CloudFront"),
    ("13.224.0.0/14", "Amazon CloudFront"),
    ("52.84.0.0/15", "Amazon CloudFront"),
    ("54.182.0.0/16", "Amazon CloudFront"),
    ("54.192.0.0/16", "Amazon CloudFront"),
    ("99.84.0.0/16", "Amazon CloudFront"),
    ("99.86.0.0/16", "Amazon CloudFront"),
    ("108.138.0.0/15", "Amazon CloudFront"),
    ("108.156.0.0/14", "Amazon CloudFront"),
    ("143.204.0.0/16", "Amazon CloudFront"),
    ("2600:9000::/28", "Amazon CloudFront"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_known_by_alias_and_by_address() {
        let alias = |name: &str| of(&[name.to_owned()], &[]);
        assert_eq!(alias("app.acme.com.cdn.cloudflare.net"), Some(CLOUDFLARE));
        assert_eq!(alias("d111.cloudfront.net"), Some("Amazon CloudFront"));
        assert_eq!(alias("notfastly.net"), None);
        let address = |text: &str| of(&[], &[text.parse().unwrap()]);
        assert_eq!(address("104.16.132.229"), Some(CLOUDFLARE));
        assert_eq!(address("2606:4700::6810:84e5"), Some(CLOUDFLARE));
        assert_eq!(address("151.101.1.195"), Some("Fastly"));
        assert_eq!(address("9.9.9.9"), None);
    }

    #[test]
    fn every_network_of_the_table_can_be_read() {
        for (network, _) in NETWORKS {
            let parsed: IpNet = network.parse().unwrap();
            assert_eq!(parsed.trunc(), parsed, "{network}");
        }
    }
}
