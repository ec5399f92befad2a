//! Bodies that mean harm, or are just wrong: each is refused with its status, at the first thing
//! that is wrong with it. Real and unusual ones are accepted.

use super::*;

fn status(body: impl AsRef<[u8]>) -> u16 {
    read(body.as_ref()).map_or_else(BodyRefused::status, |_| 200)
}

fn nested(depth: usize) -> String {
    document(&("<a>".repeat(depth) + &"</a>".repeat(depth)))
}

fn many(count: usize, write: impl Fn(usize) -> String) -> String {
    (0..count).map(write).collect()
}

/// The third table of `docs/documents.md`.
#[test]
fn hostile_bodies_are_refused_with_their_status() {
    let good = document(&tuple("a", OPEN));
    let bomb = r#"<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">
        <!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><presence>&b;</presence>"#;
    let external = r#"<!DOCTYPE p SYSTEM "http://192.0.2.1/x.dtd"><presence/>"#;
    let file = r#"<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]><presence>&x;</presence>"#;
    let attributes = many(65, |n| format!(" a{n}=\"\""));
    let prefixes = many(62, |n| format!(" xmlns:n{n}=\"urn:n\""));
    let inherited = many(31, |n| {
        format!("<a xmlns:n{n}a=\"x\" xmlns:n{n}b=\"x\" xmlns:n{n}c=\"x\">")
    });
    let same = " xml:lang=\"\"".repeat(5_000);
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let encoding = |name: &str| format!("<?xml version=\"1.0\" encoding=\"{name}\"?>{good}");
    #[rustfmt::skip]
    let table: Vec<(&str, Vec<u8>, u16)> = vec![
        ("nothing",                   b"".to_vec(),                                        400),
        ("no XML",                    b"open".to_vec(),                                    400),
        ("NUL",                       good.replace("open", "op\0en").into(),               400),
        ("another control character", good.replace("open", "\u{1}").into(),                400),
        ("a NUL by reference",        good.replace("open", "&#0;").into(),                 400),
        ("no UTF-8",                  [good.as_bytes(), b"\xff"].concat(),                 400),
        ("UTF-16",                    utf16,                                               400),
        ("another encoding",          encoding("ISO-8859-1").into(),                       415),
        ("an unknown encoding",       encoding("").into(),                                 415),
        ("bomb of entities",          bomb.into(),                                         400),
        ("external DTD",              external.into(),                                     400),
        ("external entity",           file.into(),                                         400),
        ("empty DTD",                 format!("<!DOCTYPE presence>{good}").into(),         400),
        ("unknown entity",            good.replace("open", "&open;").into(),               400),
        ("one byte too large",        vec![b' '; BODY_BYTES_MAX + 1],                      413),
        ("a megabyte",                vec![b'<'; 1 << 20],                                 413),
        ("200,000 nested elements",   nested(200_000).into(),                              413),
        ("too deep",                  nested(32).into(),                                   413),
        ("too deep and never closed", format!("{}<a", "<a>".repeat(9_000)).into(),         413),
        ("too many attributes",       document(&format!("<a{attributes}/>")).into(),       413),
        ("too many prefixes",         document(&format!("<a{prefixes}/>")).into(),         413),
        ("too many, inherited",       document(&inherited).into(),                         413),
        ("an attribute twice",        good.replace("id=\"a\"", "id=\"a\" id=\"a\"").into(), 400),
        ("5,000 times the same",      document(&format!("<a{same}/>")).into(),             400),
        ("not closed",                good.replace("</tuple>", "").into(),                 400),
        ("two roots",                 format!("{good}{good}").into(),                      400),
        ("text after the root",       format!("{good}x").into(),                           400),
        ("an undeclared prefix",      document("<x:y/>").into(),                           400),
        ("a name that begins with :", good.replace("<tuple", "<:tuple").into(),            400),
        ("an attribute so",           document("<a :b=\"\"/>").into(),                     400),
        ("another root",              good.replace("presence", "absence").into(),          400),
        ("no namespace",              good.replace(" xmlns=", " ns=").into(),              400),
        ("a tuple without id",        good.replace("id=", "name=").into(),                 400),
        ("a tuple with an empty id",  good.replace("\"a\"", "\"\"").into(),                400),
    ];
    for (what, body, expected) in table {
        assert_eq!(status(body), expected, "{what}");
    }
}

#[test]
fn unusual_bodies_are_accepted() {
    let good = document(&tuple("a", OPEN));
    let encoding = |name: &str| format!("<?xml version='1.0' encoding='{name}'?>\n{good}");
    let attributes = many(64, |n| format!(" a{n}=''"));
    let siblings = many(1_000, |n| format!("<a xmlns:n{n}='urn:n'/>"));
    let sample = many(40, |n| format!("<a b{n}=''>"));
    #[rustfmt::skip]
    let table = [
        ("plain",                         good.clone()),
        ("byte order mark",               format!("\u{feff}{good}")),
        ("UTF-8, said in capitals",       encoding("UTF-8")),
        ("utf-8, said in small letters",  encoding("utf-8")),
        ("ASCII",                         encoding("US-ASCII")),
        ("as deep as may be",             nested(31)),
        ("no parts",                      document("")),
        ("a tuple without a state",       document(&tuple("a", ""))),
        ("markup in a comment",           document(&format!("<!-- <!DOCTYPE {sample} -->"))),
        ("markup in CDATA",               document(&format!("<a><![CDATA[<!D {sample}]]></a>"))),
        ("markup in an instruction",      document(&format!("<?x <!DOCTYPE {sample} ?>"))),
        ("markup in an attribute",        document("<a b=\"> a='' /> -- \" c='\">'/>")),
        ("as many attributes as may be",  document(&format!("<a xml:lang=''{attributes}/>"))),
        ("many siblings",                 document(&"<a/>".repeat(10_000))),
        ("prefixes of siblings",          document(&siblings)),
        ("blanks around the sign",        document(&format!("<a b{}= 'c'/>", " ".repeat(300)))),
        ("no entity",                     good.replace("entity", "about")),
    ];
    for (what, body) in table {
        assert_eq!(status(&body), 200, "{what}");
        composed(&[Device::new(1, body), Device::new(2, good.clone())]);
    }
}

/// A body as large as may be, of each shape that costs a parser most, on both sides of composition.
#[test]
fn the_worst_accepted_bodies_compose() {
    let fill = |one: &str| document(&(tuple("a", OPEN) + &one.repeat(60 * 1024 / one.len())));
    let prefixes = many(55, |n| format!(" xmlns:n{n}=\"urn:{n}\""));
    let deep = "<a>".repeat(30) + &"</a>".repeat(30);
    let shapes = [
        fill("<a/>"),
        fill("<tuple id=\"a\"/>"),
        fill("<a xmlns:q=\"u\"/>"),
        fill("<dm:person id=\"a\"/>"),
        fill(&deep),
        fill(&format!("<a{}/>", many(60, |n| format!(" a{n}=\"\"")))),
        fill("<a/>").replacen("<a/>", &format!("<a{prefixes}/>"), 1),
        document(&"<a/>".repeat(15_000)).replace(" entity", &(prefixes + " entity")),
        fill("&lt;"),
    ];
    for (index, body) in shapes.iter().enumerate() {
        assert_eq!(status(body), 200, "{index}");
        let devices: Vec<Device> = (1..=32)
            .map(|at| Device::new(at, body.replace("alice", &format!("alice{at}"))))
            .collect();
        let (_, dropped) = compose_with(&devices, true);
        assert!(dropped > 0, "{index}");
    }
}
