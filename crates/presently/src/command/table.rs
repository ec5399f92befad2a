//! Rows for people: each column as wide as its longest cell.

/// Which side of its column a cell stands on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Left,
    Right,
}

/// `rows` under their heads, one line each, without spaces at a line's end.
pub(super) fn table<const N: usize>(heads: [(&str, Side); N], rows: &[[String; N]]) -> String {
    let titles = heads.map(|(title, _)| title.to_owned());
    let lines = || std::iter::once(&titles).chain(rows);
    let mut widths = [0; N];
    for line in lines() {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in lines() {
        let columns = line.iter().zip(heads).zip(widths);
        let cells = columns.map(|((cell, (_, side)), width)| match side {
            Side::Left => format!("{cell:<width$}"),
            Side::Right => format!("{cell:>width$}"),
        });
        let cells: Vec<String> = cells.collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// `1 client`, `2 clients`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_moves_the_columns_of_every_row() {
        let heads = [
            ("name", Side::Left),
            ("n", Side::Right),
            ("why", Side::Left),
        ];
        let row = |name: &str, n: &str, why: &str| [name, n, why].map(str::to_owned);
        let rows = [row("änne", "7", "new"), row("a-very-long-name", "1000", "")];
        let expected = "\
name                 n  why
änne                 7  new
a-very-long-name  1000
";
        assert_eq!(table(heads, &rows), expected);
        assert_eq!(table(heads, &[]), "name  n  why\n");
    }

    #[test]
    fn one_is_counted_as_one() {
        let counts = [0, 1, 2].map(|count| counted(count, "client"));
        assert_eq!(counts, ["0 clients", "1 client", "2 clients"]);
    }
}
