//! Tables: bold heads and wrapped cells on a terminal, plain columns in a pipe.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use model::Severity;

use super::screen::Screen;

/// A table in the making.
pub(super) struct Rows {
    table: Table,
    color: bool,
}

impl Rows {
    /// Begins a table with these heads.
    pub(super) fn new(screen: &Screen, heads: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let head = |text: &&str| {
            if screen.color { Cell::new(text).add_attribute(Attribute::Bold) } else { Cell::new(text) }
        };
        table.set_header(heads.iter().map(head).collect::<Vec<_>>());
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        if screen.terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            if let Some(columns) = screen.columns {
                table.set_width(columns);
            }
        }
        if screen.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        Self { table, color: screen.color }
    }

    /// Numbers stand right in these columns.
    #[must_use]
    pub(super) fn right(mut self, columns: &[usize]) -> Self {
        for column in columns {
            if let Some(column) = self.table.column_mut(*column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self
    }

    /// Adds a row of plain cells.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.table.add_row(cells.map(Cell::new));
    }

    /// Adds a row in which one cell is a severity, with its colour.
    pub(super) fn row_with_severity<const N: usize>(
        &mut self,
        cells: [String; N],
        at: usize,
        severity: Severity,
    ) {
        let color = self.color.then(|| color_of(severity)).flatten();
        let cell = |(index, text): (usize, String)| match color {
            Some(color) if index == at => Cell::new(text).fg(color),
            _ => Cell::new(text),
        };
        self.table.add_row(cells.into_iter().enumerate().map(cell));
    }

    /// Whether it has no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.table.row_count() == 0
    }

    /// Writes it as data, without blanks at the ends of lines.
    pub(super) fn show(self, screen: &mut Screen) -> Result<(), super::failure::Failure> {
        let text = self.table.to_string();
        text.lines().try_for_each(|line| screen.data(line.trim_end()))
    }
}

/// The word comes first; colour only helps (Okabe-Ito, which the colour-blind tell apart).
const fn color_of(severity: Severity) -> Option<Color> {
    match severity {
        Severity::Critical => Some(Color::Magenta),
        Severity::High => Some(Color::Red),
        Severity::Medium => Some(Color::Yellow),
        Severity::Low => Some(Color::Blue),
        Severity::None | Severity::Unknown => None,
    }
}
