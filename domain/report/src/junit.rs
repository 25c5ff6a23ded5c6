//! JUnit XML: a test case for the coverage and one for each finding, so that no result is ever without a test.

use model::GapKind;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use crate::{Report, Reported};

/// A suite for each image, under the name that it is told by.
pub(crate) fn document(reports: &[(&Report, &str)]) -> String {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    write(&mut xml, reports).expect("a vector takes everything");
    let mut text = String::from_utf8(xml.into_inner()).expect("it was written from text");
    text.push('\n');
    text
}

type Xml = Writer<Vec<u8>>;

/// How many cases there are, and what became of them.
#[derive(Default)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn add(mut self, report: &Report) -> Self {
        let failures = report.counted().count();
        self.tests += report.findings.len() + 1;
        self.failures += failures;
        self.errors += usize::from(!report.is_to_be_trusted());
        self.skipped += report.findings.len() - failures;
        self
    }

    fn element(&self, kind: &str, name: &str) -> BytesStart<'static> {
        let mut start = element(kind, &[("name", name)]);
        let Self { tests, failures, errors, skipped } = self;
        for (name, count) in
            [("tests", tests), ("failures", failures), ("errors", errors), ("skipped", skipped)]
        {
            start.push_attribute((name, count.to_string().as_str()));
        }
        start
    }
}

fn write(xml: &mut Xml, reports: &[(&Report, &str)]) -> std::io::Result<()> {
    let all = reports.iter().fold(Counts::default(), |counts, (report, _)| counts.add(report));
    let name = reports.first().map_or("", |(report, _)| &report.image.name);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.write_event(Event::Start(all.element("testsuites", name)))?;
    for (report, name) in reports {
        xml.write_event(Event::Start(Counts::default().add(report).element("testsuite", name)))?;
        coverage(xml, report, name)?;
        report.findings.iter().try_for_each(|reported| finding(xml, reported))?;
        xml.write_event(Event::End(BytesEnd::new("testsuite")))?;
    }
    xml.write_event(Event::End(BytesEnd::new("testsuites")))
}

fn coverage(xml: &mut Xml, report: &Report, name: &str) -> std::io::Result<()> {
    let case = element("testcase", &[("classname", name), ("name", "coverage")]);
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
