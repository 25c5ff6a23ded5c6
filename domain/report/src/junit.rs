//! JUnit XML: a test case for the coverage and one for each finding, so that no result is ever without a test.

use model::GapKind;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use crate::{Report, Reported};

pub(crate) fn document(report: &Report) -> String {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    write(&mut xml, report).expect("a vector takes everything");
    let mut text = String::from_utf8(xml.into_inner()).expect("it was written from text");
    text.push('\n');
    text
}

type Xml = Writer<Vec<u8>>;

fn write(xml: &mut Xml, report: &Report) -> std::io::Result<()> {
    let failures = report.counted().count();
    let counts = [
        ("tests", report.findings.len() + 1),
        ("failures", failures),
        ("errors", usize::from(!report.is_to_be_trusted())),
        ("skipped", report.findings.len() - failures),
    ];
    let suite = |name: &str| {
        let mut start = element(name, &[("name", &report.image.name)]);
        counts.iter().for_each(|(name, count)| start.push_attribute((*name, count.to_string().as_str())));
        start
    };
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.write_event(Event::Start(suite("testsuites")))?;
    xml.write_event(Event::Start(suite("testsuite")))?;
    coverage(xml, report)?;
    report.findings.iter().try_for_each(|reported| finding(xml, reported))?;
    xml.write_event(Event::End(BytesEnd::new("testsuite")))?;
    xml.write_event(Event::End(BytesEnd::new("testsuites")))
}

fn coverage(xml: &mut Xml, report: &Report) -> std::io::Result<()> {
    let case = element("testcase", &[("classname", &report.image.name), ("name", "coverage")]);
    if report.is_to_be_trusted() {
        return xml.write_event(Event::Empty(case));
    }
    let message = report.caveats().join("; ");
    let states = report.states().into_iter().map(GapKind::as_str).collect::<Vec<_>>().join(" ");
    let kind = if states.is_empty() { report.coverage.as_str() } else { &states };
    let error = element("error", &[("type", kind), ("message", &message)]);
    holding(xml, case, error, &report.notes().join("\n"))
}

fn finding(xml: &mut Xml, reported: &Reported) -> std::io::Result<()> {
    let finding = &reported.finding;
    let name = format!("{} {} {}", finding.vulnerability, finding.package, finding.version);
    let case = element("testcase", &[("classname", finding.purl.as_str()), ("name", &name)]);
    match reported.suppression() {
        Some(message) => holding(xml, case, element("skipped", &[("message", &message)]), ""),
        None => {
            let message = reported.line();
            let failure = element("failure", &[("type", finding.severity.as_str()), ("message", &message)]);
            let reasons: Vec<_> =
                finding.advisories.iter().map(|a| format!("{}: {}", a.advisory, a.reason)).collect();
            holding(xml, case, failure, &reasons.join("\n"))
        }
    }
}

/// An element with one other in it, which has a text.
fn holding(xml: &mut Xml, outer: BytesStart<'_>, inner: BytesStart<'_>, text: &str) -> std::io::Result<()> {
    xml.write_event(Event::Start(outer.borrow()))?;
    if text.is_empty() {
        xml.write_event(Event::Empty(inner))?;
    } else {
        xml.write_event(Event::Start(inner.borrow()))?;
        xml.write_event(Event::Text(BytesText::new(&allowed(text))))?;
        xml.write_event(Event::End(inner.to_end()))?;
    }
    xml.write_event(Event::End(outer.to_end()))
}

fn element(name: &str, attributes: &[(&str, &str)]) -> BytesStart<'static> {
    let mut start = BytesStart::new(name.to_owned());
    attributes.iter().for_each(|(name, value)| start.push_attribute((*name, allowed(value).as_str())));
    start
}

/// XML 1.0 §2.2 has no control characters, not even escaped.
fn allowed(text: &str) -> String {
    let plain = |c: char| match c {
        '\t' | '\n' | '\r' => c,
        c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => '\u{fffd}',
        c => c,
    };
    text.chars().map(plain).collect()
}
