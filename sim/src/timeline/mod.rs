//! Placeholder until the page is there.

/// placeholder
#[must_use]
pub fn page(_: &crate::plan::Plan, _: &crate::world::Report, _: Option<&crate::log::Violation>) -> String {
    String::new()
}
