//! The table in which the figures are given.

/// The table, column by column of a row: what, ours, the original's, the floor, and the ratios.
#[derive(Default)]
pub struct Table {
    rows: Vec<[String; 6]>,
}

impl Table {
    /// Adds a row; the ratios are ours to the others.
    pub fn row(
        &mut self,
        what: &str,
        unit: &str,
        ours: Option<f64>,
        original: Option<f64>,
        floor: Option<f64>,
    ) {
        let number = |value: Option<f64>| match value {
            None => "–".to_owned(),
            Some(value) if unit.is_empty() || value >= 1000.0 => format!("{value:.0}"),
            Some(value) => format!("{value:.*}", if value < 10.0 { 2 } else { 1 }),
        };
        let ratio = |to: Option<f64>| match (ours, to) {
            (Some(ours), Some(to)) if to > 0.0 => format!("{:.2}", ours / to),
            _ => "–".to_owned(),
        };
        let what = if unit.is_empty() { what.to_owned() } else { format!("{what}, {unit}") };
        self.rows.push([what, number(ours), number(original), number(floor), ratio(original), ratio(floor)]);
    }

    /// Prints it as Markdown.
    pub fn print(&self) {
        let head = ["", "ours", "original", "floor", "ours / original", "ours / floor"].map(str::to_owned);
        let width = |column: usize| {
            self.rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let line = |row: &[String; 6]| {
            let cells = row.iter().enumerate().map(|(i, cell)| {
                if i == 0 { format!("{cell:<0$}", width(i)) } else { format!("{cell:>0$}", width(i)) }
            });
            println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
        };
        line(&head);
        let rule = (0..6)
            .map(|i| if i == 0 { "-".repeat(width(i)) } else { format!("{}:", "-".repeat(width(i) - 1)) });
        println!("| {} |", rule.collect::<Vec<_>>().join(" | "));
        self.rows.iter().for_each(line);
    }
}
