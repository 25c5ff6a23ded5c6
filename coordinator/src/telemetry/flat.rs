//! A log line as one flat JSON object: the event's fields beside those of all spans around it.

use std::fmt;
use std::io::Write;
use std::sync::Mutex;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Writes each event as a line of JSON.
pub(super) struct FlatJson<W> {
    out: Mutex<W>,
    node: String,
}

impl<W: Write> FlatJson<W> {
    /// Each line says that it is of this node.
    pub(super) const fn new(out: W, node: String) -> Self {
        Self { out: Mutex::new(out), node }
    }

    fn write(&self, line: &Map<String, Value>) {
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Nobody is left to tell when the log itself cannot be written.
        drop(out.write_all(&text));
    }
}

impl<S, W> Layer<S> for FlatJson<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Write + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Fields::default();
        let now = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        line.put("time", now.into());
        line.put("level", event.metadata().level().as_str().to_lowercase().into());
        line.put("target", event.metadata().target().into());
        line.put("node", self.node.as_str().into());
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.0.extend(fields.0.clone());
            }
        }
        event.record(&mut line);
        self.write(&line.0);
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, mut value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        while let Some(source) = value.source() {
            text = format!("{text}: {source}");
            value = source;
        }
        self.put(field.name(), text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_carries_the_fields_of_the_spans_around_it() {
        let page = Page::default();
        let subscriber = tracing_subscriber::registry().with(FlatJson::new(page.clone(), "n1".to_owned()));
        tracing::subscriber::with_default(subscriber, || {
            let call = tracing::info_span!("call", tenant.id = tracing::field::Empty, trace_id = "abc");
            let _call = call.enter();
            call.record("tenant.id", "t1");
            tracing::warn!(job.id = 7, "slow");
        });
        let line: Value = serde_json::from_slice(&page.0.lock().unwrap()).unwrap();
        let expected = [
            ("node", Value::from("n1")),
            ("tenant.id", "t1".into()),
            ("trace_id", "abc".into()),
            ("job.id", 7.into()),
            ("message", "slow".into()),
            ("level", "warn".into()),
        ];
        for (name, value) in expected {
            assert_eq!(line[name], value, "{line}");
        }
    }
}
