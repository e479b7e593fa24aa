use sonode_sr_writer::{CharacterSet, Coding, FindingsCode, Language};

use super::*;

fn check(text: &str) -> Result<Config, Vec<Problem>> {
    Config::check(text.parse().unwrap(), Path::new("/etc/sonode"))
}

const HOSPITAL: &str = r#"
[node]
ae_title = "SONODE"
listen = "0.0.0.0:11112"
data_dir = "/var/lib/sonode"
[http]
listen = "127.0.0.1:8080"
[limits]
max_associations = 64
[study]
quiet_period_s = 300
[inference]
device = "auto"
models_dir = "models"
allow_research_models = false
[[peer]]
name = "pacs"
ae_title = "ORTHANC"
host = "10.0.0.5"
port = 4242
[[peer]]
name = "cart-1"
ae_title = "CART1"
allow_from = ["10.0.7.0/24"]
[[route]]
from = ["cart-1"]
to = "pacs"
send = ["sr", "images"]
report_unmeasured = "echo-only"
"#;

#[test]
fn the_contracts_example_is_accepted() {
    let config = check(HOSPITAL).unwrap();
    assert_eq!(config.node.ae_title.as_str(), "SONODE");
    assert_eq!(config.inference.models_dir, Path::new("/etc/sonode/models"));
    assert!(config.peers[1].allows("10.0.7.9".parse().unwrap()));
    assert!(config.peers[1].allows("::ffff:10.0.7.9".parse().unwrap()));
    assert!(!config.peers[1].allows("10.0.8.9".parse().unwrap()));
    assert_eq!(config.routes[0].send.len(), 2);
}

#[test]
fn a_peer_has_aliases_and_a_route_asks_for_commitment() {
    let peer = "port = 4242\naliases = [\"ARCHIVE\"]\ncommit_timeout_s = 60";
    let text = HOSPITAL.replace("port = 4242", peer) + "commit = true";
    let config = check(&text).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(config.peers[0].is_called(&"ARCHIVE".parse().unwrap()));
    assert_eq!(config.peers[0].commit_timeout, Some(Duration::from_mins(1)));
    assert!(config.asks_commitment_of("pacs") && !config.asks_commitment_of("cart-1"));

    let text = HOSPITAL.replace("port = 4242", "port = 4242\naliases = [\"CART1\"]");
    let problems = check(&text).unwrap_err();
    let keys: Vec<&str> = problems.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["peer[1].ae_title"], "{problems:?}");
}

#[test]
fn whoever_relays_commitment_has_an_address_and_an_archive() {
    let relay = "ae_title = \"CART1\"\ncommitment = \"relay\"";
    let text = HOSPITAL.replace("ae_title = \"CART1\"", relay);
    let keys = |text: &str| -> Vec<String> {
        let problems = check(text).unwrap_err().into_iter();
        problems.map(|problem| problem.to_string()).collect()
    };
    let found = keys(&text);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("peer[1].commitment:") && found[0].contains("host and port"));

    let with_address = text.replace(relay, &format!("{relay}\nhost = \"10.0.7.9\"\nport = 104"));
    let config = check(&with_address).unwrap();
    assert_eq!(config.peers[1].commitment, Commitment::Relay);
    // The archive is asked, although no route says so.
    assert!(config.asks_commitment_of("pacs"));

    let found = keys(&with_address.replace("\"sr\", \"images\"", "\"sr\""));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("sends \"images\""), "{found:?}");
}

#[test]
fn whoever_sends_mpps_here_is_reminded_of_the_ris() {
    let text = HOSPITAL.replace("ae_title = \"CART1\"", "ae_title = \"CART1\"\nmpps = true");
    let config = check(&text).unwrap();
    assert!(config.peers[1].mpps);
    assert_eq!(config.warnings.len(), 1);
    assert_eq!(config.warnings[0].key, "peer[1].mpps");
    assert!(config.warnings[0].what.contains("RIS"));
}

#[test]
fn a_route_names_its_documents_and_how_they_are_written() {
    let more = r#"
documents = ["tid5200", "tid1500"]
companions = ["key-object"]
codes = "srt"
findings_code = "59776-5"
charset = "utf-8"
language = "zh"
"#;
    let config = check(&format!("{HOSPITAL}{more}")).unwrap();
    let route = &config.routes[0];
    let written: Vec<Document> = route.written().into_iter().collect();
    assert_eq!(
        written,
        [
            Document::MeasurementReport,
            Document::EchoReport,
            Document::KeyObject
        ]
    );
    assert_eq!(route.style.codes, Coding::Srt);
    assert_eq!(route.style.findings_code, FindingsCode::Ln59776);
    assert_eq!(route.style.charset, CharacterSet::Utf8);
    assert_eq!(route.style.language, Language::Zh);
    let plain = check(HOSPITAL).unwrap();
    let written: Vec<Document> = plain.routes[0].written().into_iter().collect();
    assert_eq!(written, [Document::MeasurementReport]);
    assert_eq!(plain.routes[0].style, Style::default());
}

#[test]
fn what_a_route_cannot_write_is_named() {
    let wrong = r#"
documents = ["key-object", "tid9"]
companions = ["tid1500"]
codes = "snomed"
findings_code = "1"
charset = "ISO_IR 100"
language = "de"
"#;
    let problems = check(&format!("{HOSPITAL}{wrong}")).unwrap_err();
    let keys: Vec<&str> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "route[0].documents[0]",
            "route[0].documents[1]",
            "route[0].documents",
            "route[0].companions[0]",
            "route[0].codes",
            "route[0].findings_code",
            "route[0].charset",
            "route[0].language",
        ]
    );
}

#[test]
fn a_carts_missing_character_set_is_one_that_is_known() {
    let with = |set: &str| {
        let peer = format!("allow_from = [\"10.0.7.0/24\"]\ncharset_if_missing = {set:?}");
        check(&HOSPITAL.replace("allow_from = [\"10.0.7.0/24\"]", &peer))
    };
    let config = with("ISO IR 144").unwrap();
    let set = config.peers[1].charset_if_missing.as_deref();
    assert_eq!(set, Some("ISO_IR 144"));
    assert_eq!(
        with("KOI8-R").unwrap_err()[0].key,
        "peer[1].charset_if_missing"
    );
}

#[test]
fn every_problem_is_reported_at_once_with_its_key() {
    let problems = check(
        r#"
        [node]
        ae_title = "A TITLE THAT IS TOO LONG"
        listen = "nowhere"
        color = "red"
        [limits]
        max_associations = 0
        [[peer]]
        name = "pacs"
        ae_title = "PACS"
        host = "10.0.0.5"
        [[route]]
        to = "pcas"
        send = ["everything"]
        [extra]
        "#,
    )
    .unwrap_err();
    let keys: Vec<&str> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    for key in [
        "node.ae_title",
        "node.listen",
        "node.data_dir",
        "node.color",
        "limits.max_associations",
        "peer[0].port",
        "route[0].to",
        "route[0].send[0]",
        "extra",
    ] {
        assert!(keys.contains(&key), "{key} is not among {keys:?}");
    }
    assert_eq!(keys.len(), 9, "{problems:?}");
}

#[test]
fn two_peers_of_one_title_need_addresses_that_tell_them_apart() {
    let two = |first: &str, second: &str| {
        check(&format!(
            "[node]\nae_title = 'S'\ndata_dir = 'd'\n\
             [[peer]]\nname = 'a'\nae_title = 'CART'\n{first}\n[[peer]]\nname = 'b'\nae_title = 'CART'\n{second}\n"
        ))
    };
    assert!(
        two(
            "allow_from = ['10.0.0.0/24']",
            "allow_from = ['10.0.1.0/24']"
        )
        .is_ok()
    );
    assert!(
        two(
            "allow_from = ['10.0.0.0/24']",
            "allow_from = ['10.0.0.7/32']"
        )
        .is_err()
    );
    assert!(two("", "").is_err());
}

#[test]
fn a_second_reader_is_off_unless_it_is_named() {
    assert_eq!(check(HOSPITAL).unwrap().inference.second_reader, None);
    let with = HOSPITAL.replace(
        "[[peer]]\nname = \"pacs\"",
        "[inference.second_reader]\ncheckpoint = \"glm\"\nwhen_late = \"revise\"\nlanguage = \"zh\"\n[[peer]]\nname = \"pacs\"",
    );
    let reader = check(&with).unwrap().inference.second_reader.unwrap();
    assert_eq!(reader.checkpoint, Path::new("/etc/sonode/glm"));
    let args = reader.arguments().join(" ");
    assert_eq!(
        args,
        "--second-reader /etc/sonode/glm --second-reader-dtype int8 --second-reader-deadline-s 20 \
         --second-reader-when-late revise --second-reader-language zh"
    );
    let wrong = with.replace("checkpoint = \"glm\"", "dtype = \"int3\"\ndeadline_s = 0");
    let problems = check(&wrong).unwrap_err();
    let keys: Vec<&str> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    for key in ["checkpoint", "dtype", "deadline_s"] {
        assert!(
            keys.contains(&format!("inference.second_reader.{key}").as_str()),
            "{keys:?}"
        );
    }
}
