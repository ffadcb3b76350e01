use http::Request;
use proptest::prelude::*;

use super::*;

fn parts(uri: &str, hosts: &[&[u8]], version: Version) -> Parts {
    let mut request = Request::builder().uri(uri).version(version);
    for host in hosts {
        request = request.header("host", *host);
    }
    request.body(()).unwrap().into_parts().0
}

fn agreed(uri: &str, hosts: &[&[u8]], version: Version) -> Result<String, u16> {
    let visit = Visit::plain_for_tests();
    agreed_authority(&parts(uri, hosts, version), &visit)
        .map(|authority| authority.hostname.to_string())
        .map_err(|refusal| refusal.code.status())
}

#[test]
fn c1_to_c5_one_well_formed_host_or_400() {
    let h1 = |uri: &str, hosts: &[&[u8]]| agreed(uri, hosts, Version::HTTP_11);
    assert_eq!(h1("/", &[b"ACME.test."]), Ok("acme.test".into()));
    assert_eq!(h1("/", &[b"acme.test:"]), Ok("acme.test".into()));
    assert_eq!(
        h1("http://acme.test/", &[b"acme.test"]),
        Ok("acme.test".into())
    );
    assert_eq!(
        h1("http://acme.test:80/", &[b"acme.test"]),
        Ok("acme.test".into())
    );
    let bad: &[(&str, &[&[u8]])] = &[
        ("/", &[]),
        ("/", &[b"acme.test", b"acme.test"]),
        ("/", &[b""]),
        ("/", &[b"user@acme.test"]),
        ("/", &[b"acme.test/evil"]),
        ("/", &[b"acme.test, evil.test"]),
        ("/", &[b"acme.test evil"]),
        ("/", &[b"\"acme.test\""]),
        ("/", &[b"acme%2etest"]),
        ("/", &[b"acm\xe9.test"]),
        ("/", &[b"[fe80::1%25eth0]"]),
        ("/", &[b"acme.test:abc"]),
        ("/", &[b"acme.test:99999"]),
        ("/", &[b"acme.test:0"]),
        ("/", &[b"127.0.0.1"]),
        ("http://evil.test/", &[b"acme.test"]),
        ("http://user@acme.test/", &[b"acme.test"]),
        ("http://acme.test/", &[]),
        ("http://acme.test:81/", &[b"acme.test"]),
        ("https://acme.test/", &[b"acme.test"]),
        ("ftp://acme.test/", &[b"acme.test"]),
    ];
    for (uri, hosts) in bad {
        assert_eq!(h1(uri, hosts), Err(400), "{uri} {hosts:?}");
    }
}

#[test]
fn c11_to_c13_h2_authority_and_host_agree_or_400() {
    let h2 = |uri: &str, hosts: &[&[u8]]| agreed(uri, hosts, Version::HTTP_2);
    assert_eq!(h2("http://acme.test/", &[]), Ok("acme.test".into()));
    assert_eq!(
        h2("http://acme.test/", &[b"acme.test"]),
        Ok("acme.test".into())
    );
    assert_eq!(h2("/", &[b"acme.test"]), Ok("acme.test".into()));
    assert_eq!(h2("http://acme.test/", &[b"evil.test"]), Err(400));
    assert_eq!(h2("/", &[]), Err(400));
    assert_eq!(h2("/", &[b"acme.test", b"acme.test"]), Err(400));
}

fn routing() -> config::Routing {
    let mut routing = crate::decide::tests::routing();
    let names = |list: &[&str]| {
        list.iter()
            .map(|name| Hostname::parse(name).unwrap())
            .collect()
    };
    routing.base_domains = names(&["eu.example.com", "example.com"]);
    routing.platform_hosts = names(&["app.example.com"]);
    routing.reserved_slugs = vec![Slug::parse("www").unwrap()];
    routing
}

#[test]
fn configuration_decides_the_class_of_a_host() {
    let class = |name: &str| classify(&Hostname::parse(name).unwrap(), &routing());
    let slug = |slug: &str| HostClass::Subdomain(Slug::parse(slug).unwrap());
    assert_eq!(class("app.example.com"), HostClass::Platform);
    assert_eq!(class("acme.example.com"), slug("acme"));
    assert_eq!(class("acme.eu.example.com"), slug("acme"));
    assert_eq!(class("example.com"), HostClass::Nobody);
    assert_eq!(class("eu.example.com"), HostClass::Nobody);
    assert_eq!(class("www.example.com"), HostClass::Nobody);
    assert_eq!(class("a.b.example.com"), HostClass::Nobody);
    assert_eq!(class("a_b.example.com"), HostClass::Nobody);
    assert_eq!(class("notexample.com"), HostClass::Custom);
}

proptest! {
    #[test]
    fn no_pair_of_hosts_passes_unless_they_are_one(a in "[a-zA-Z.]{1,12}", b in "[a-zA-Z.]{1,12}") {
        let uri = format!("http://{a}/");
        prop_assume!(uri.parse::<http::Uri>().is_ok());
        if let Ok(name) = agreed(&uri, &[b.as_bytes()], Version::HTTP_11) {
            let fold = |text: &str| text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
            prop_assert_eq!(&name, &fold(&a));
            prop_assert_eq!(&name, &fold(&b));
        }
    }
}
