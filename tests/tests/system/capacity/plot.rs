//! Curves over time, as a picture that needs nothing else.

use std::fmt::Write;

/// Curves that share an axis.
pub(super) struct Panel<'a> {
    pub(super) title: &'a str,
    /// Each with its name, a value for each second.
    pub(super) curves: Vec<(String, Vec<f64>)>,
}

const COLOURS: [&str; 6] = [
    "#5b6270", "#c2410c", "#1d4ed8", "#047857", "#7e22ce", "#b45309",
];
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 110.0;
/// What a panel takes besides its curves.
const HEADING: f64 = 46.0;

/// Draws panels one below the other. `marks`: texts at seconds, each where something begins.
pub(super) fn svg(title: &str, panels: &[Panel<'_>], marks: &[(usize, String)]) -> String {
    let values = panels.iter().flat_map(|panel| &panel.curves);
    let seconds = values.map(|(_, values)| values.len()).max().unwrap_or(1);
    let (width, height) = (
        LEFT + WIDTH + RIGHT,
        30.0 + panels.len() as f64 * (HEIGHT + HEADING),
    );
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{title}</text>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        let top = 30.0 + number as f64 * (HEIGHT + HEADING) + 24.0;
        draw(&mut out, panel, top, seconds, marks).expect("a string takes all");
    }
    out += "</svg>\n";
    out
}

fn draw(
    out: &mut String,
    panel: &Panel<'_>,
    top: f64,
    seconds: usize,
    marks: &[(usize, String)],
) -> std::fmt::Result {
    let all = panel.curves.iter().flat_map(|(_, values)| values);
    let most = all.copied().fold(1.0, f64::max);
    let across = |second: usize| LEFT + WIDTH * second as f64 / seconds as f64;
    let up = |value: f64| top + HEIGHT * (1.0 - value / most);
    let (title, bottom, end) = (panel.title, top + HEIGHT, LEFT + WIDTH);
    writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">{title}</text>", top - 6.0)?;
    for value in [0.0, most / 2.0, most] {
        let (y, x) = (up(value), LEFT - 6.0);
        writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{end}\" stroke=\"#ddd\"/>\
             <text x=\"{x}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
            y + 4.0
        )?;
    }
    for (second, text) in marks {
        let x = across(*second);
        writeln!(
            out,
            "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"#bbb\" stroke-dasharray=\"3 3\"/>\
             <text x=\"{:.1}\" y=\"{}\" fill=\"#888\">{text}</text>",
            x + 3.0,
            bottom + 12.0
        )?;
    }
    for (place, (name, values)) in panel.curves.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let mut path = String::new();
        for (second, value) in values.iter().enumerate() {
            let command = if second == 0 { 'M' } else { 'L' };
            write!(path, "{command}{:.1} {:.1}", across(second), up(*value))?;
        }
        writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
             <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            end + 8.0,
            top + 12.0 + 15.0 * place as f64
        )?;
    }
    Ok(())
}
