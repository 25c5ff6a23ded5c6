//! A report as somebody's own template makes it (minijinja, which is Jinja2).

use minijinja::{AutoEscape, Environment};
use serde_json::Value;

/// The longest template that is read, in bytes.
pub const TEMPLATE_BYTES: usize = 1 << 20;
/// How many steps a template may take.
const FUEL: u64 = 50_000_000;
const NAME: &str = "template";

/// What is wrong with a template.
#[derive(Debug, thiserror::Error)]
#[error("the template cannot be used: {0:#}")]
pub struct TemplateError(#[from] minijinja::Error);

/// What the template makes of the JSON report. Nothing is escaped but by `| escape` and `| tojson`.
pub(crate) fn render(template: &str, report: &Value) -> Result<String, TemplateError> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.add_template(NAME, template)?;
    Ok(environment.get_template(NAME)?.render(minijinja::value::Serde(report))?)
}
