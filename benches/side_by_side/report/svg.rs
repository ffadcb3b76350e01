//! The report as a chart: what was measured as a share of what may be, row by row.

use std::fmt::Write;

use super::shown;
use crate::options::Options;
use crate::table::{Asked, Found, Outcome, TABLE};

const WIDTH: usize = 1180;
const ROW: usize = 26;
const TOP: usize = 64;
/// Where bars begin, and how long one is that reaches what is asked.
const LEFT: usize = 540;
const WHOLE: f64 = 220.0;
/// Bars end there, however much longer they would be.
const LONGEST: f64 = 1.6;

/// The chart.
pub(super) fn render(facts: &[(&str, String)], found: &Found, options: &Options) -> String {
    let height = TOP + ROW * TABLE.len() + 40;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Vestibule: measured as a share of what may be</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"28\" font-size=\"18\" font-weight=\"bold\">Vestibule: measured as a share of what may be</text>\n"
    );
    let shown = ["date", "machine"].map(|wanted| {
        let fact = facts.iter().find(|(what, _)| *what == wanted);
        fact.map_or("", |(_, is)| is.as_str())
    });
    let _ = writeln!(
        svg,
        "<text x=\"16\" y=\"46\" fill=\"#555\">{}</text>",
        escaped(&shown.join(" · "))
    );
    let (line, end) = (LEFT as f64 + WHOLE, height - 36);
    let _ = writeln!(
        svg,
        "<path d=\"M{line} {TOP}V{end}\" stroke=\"#222\" stroke-dasharray=\"4 3\"/>\n\
         <text x=\"{line}\" y=\"{}\" text-anchor=\"middle\">asked: at most this</text>",
        height - 16
    );
    for (index, asked) in TABLE.iter().enumerate() {
        let outcome = found.outcome(asked, options);
        row(&mut svg, TOP + ROW * index, asked, &outcome);
    }
    svg.push_str("</svg>\n");
    svg
}

fn row(svg: &mut String, top: usize, asked: &Asked, outcome: &Outcome) {
    let base = top + 16;
    let name = match asked.against {
        "" => asked.work.to_owned(),
        against => format!("{} · {against}", asked.work),
    };
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\" font-size=\"10\">{}</text>",
        LEFT - 8,
        escaped(&name)
    );
    let (length, colour) = match outcome {
        Outcome::Measured { figure, .. } => {
            let colour = if figure.value <= asked.limit {
                "#2a7"
            } else {
                "#d43"
            };
            (share(figure.value, asked.limit) * WHOLE, colour)
        }
        Outcome::NotMeasured(_) => (0.0, "#999"),
    };
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\n\
         <text x=\"{:.1}\" y=\"{base}\" font-size=\"11\" paint-order=\"stroke\" stroke=\"#fff\" stroke-width=\"4\">{}</text>",
        top + 4,
        ROW - 8,
        LEFT as f64 + length + 6.0,
        escaped(&label(asked, outcome))
    );
}

fn label(asked: &Asked, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Measured { .. } => {
            format!(
                "{}, asked {}",
                shown(asked, outcome),
                asked.unit.show(asked.limit)
            )
        }
        Outcome::NotMeasured(why) => {
            let short: String = why.chars().take(70).collect();
            format!("not measured: {short}")
        }
    }
}

/// Where nothing at all may be, one is too much by as much as can be shown.
fn share(value: f64, limit: f64) -> f64 {
    if limit > 0.0 {
        (value / limit).min(LONGEST)
    } else if value > 0.0 {
        LONGEST
    } else {
        0.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
