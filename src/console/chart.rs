//! Drawings as SVG, made from figures alone: no script, no colour that says what text does not, a title and a description each. The
//! figures stand in a table beside them.

use std::fmt::Write as _;

/// A drawing.
#[derive(Debug)]
pub(super) struct Chart {
    /// Its markup. Every text in it is escaped.
    pub svg: String,
}

impl Chart {
    /// Under a heading that says what its caption says, the caption is for those who hear it only.
    pub fn under(&mut self, heading: &str) {
        let told = escaped(heading);
        self.svg = self.svg.replacen(&format!("<figcaption>{told}<"), &format!("<figcaption class=\"unseen\">{told}<"), 1);
    }
}

/// Height of a column chart's field, in units of its view box.
const FIELD: f64 = 120.0;
/// Width of a column with its gap.
const STEP: f64 = 44.0;
/// Length of the longest bar.
const BAR: f64 = 320.0;
/// Room for a bar's name, at most.
const NAME_MAX: f64 = 190.0;
/// Characters of a name that are drawn; more are in its title.
const NAME_CHARS: usize = 26;
/// Height of a bar with its gap.
const LINE: f64 = 28.0;
/// Bars at most; more are left to the table.
const BARS_MAX: usize = 40;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

fn open(svg: &mut String, class: &str, (width, height): (f64, f64), title: &str, about: &str) {
    let (title, about) = (escaped(title), escaped(about));
    let _ = write!(
        svg,
        "<figure class=\"chart\"><figcaption>{title}</figcaption><svg class=\"{class}\" role=\"img\" aria-label=\"{title}. {about}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\"><title>{title}</title><desc>{about}</desc>"
    );
}

/// Columns of stacked parts. `columns`: name and one figure a part; `parts`: name and class of each, bottom up.
pub(super) fn stacked(title: &str, about: &str, parts: &[(&str, &str)], columns: &[(String, Vec<u64>)]) -> Chart {
    let tallest = columns.iter().map(|(_, figures)| figures.iter().sum::<u64>()).max().unwrap_or(0).max(1);
    let width = (columns.len() as f64).mul_add(STEP, 24.0).max(360.0);
    let mut svg = String::new();
    open(&mut svg, "stacked", (width, FIELD + 40.0), title, about);
    let _ =
        write!(svg, "<line class=\"axis\" x1=\"12\" x2=\"{:.0}\" y1=\"{:.1}\" y2=\"{:.1}\"/>", width - 12.0, FIELD + 16.0, FIELD + 16.0);
    for (i, (name, figures)) in columns.iter().enumerate() {
        let x = (i as f64).mul_add(STEP, 16.0);
        let mut y = FIELD + 16.0;
        for ((part, class), figure) in parts.iter().zip(figures) {
            let height = *figure as f64 / tallest as f64 * (FIELD - 8.0);
            y -= height;
            if *figure > 0 {
                let told = escaped(&format!("{name}: {part} {figure}"));
                let _ = write!(
                    svg,
                    "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"32\" height=\"{height:.1}\"><title>{told}</title></rect>"
                );
            }
        }
        let sum: u64 = figures.iter().sum();
        if sum > 0 {
            let _ = write!(svg, "<text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{sum}</text>", x + 16.0, y - 4.0);
        }
        let _ = write!(svg, "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 16.0, FIELD + 32.0, escaped(name));
    }
    svg.push_str("</svg>");
    close(svg, parts)
}

/// The drawing with its legend, which does not scroll with it.
fn close(mut svg: String, parts: &[(&str, &str)]) -> Chart {
    svg.push_str("</figure>");
    svg.push_str(&legend(parts));
    Chart { svg }
}

/// What each class stands for, as a list under the drawing: its lines break where the window ends.
fn legend(parts: &[(&str, &str)]) -> String {
    let entries = parts.iter().fold(String::new(), |all, (name, class)| {
        let mark =
            format!("<svg width=\"10\" height=\"10\" aria-hidden=\"true\"><rect class=\"{class}\" width=\"10\" height=\"10\"/></svg>");
        format!("{all}<li>{mark}{}</li>", escaped(name))
    });
    format!("<ul class=\"legend\">{entries}</ul>")
}

/// Horizontal bars, longest as long as the field; figures may be negative. `bars`: name, figure, the figure as text.
pub(super) fn bars(title: &str, about: &str, bars: &[(String, f64, String)]) -> Chart {
    let bars = bars.get(..BARS_MAX.min(bars.len())).unwrap_or_default();
    let finite = |figure: f64| if figure.is_finite() { figure } else { 0.0 };
    let largest = bars.iter().map(|(_, figure, _)| finite(*figure).abs()).fold(0.0, f64::max);
    let negative = bars.iter().any(|(_, figure, _)| *figure < 0.0);
    // No more room than the longest name takes.
    let width = |name: &str| name.chars().take(NAME_CHARS).map(|c| if c.is_ascii() { 7.0 } else { 12.0 }).sum::<f64>() + 16.0;
    let names = bars.iter().map(|(name, ..)| width(name)).fold(40.0, f64::max).min(NAME_MAX);
    let (zero, room) = if negative { (names + BAR / 2.0, BAR / 2.0) } else { (names, BAR) };
    let height = (bars.len() as f64).mul_add(LINE, 16.0);
    let mut svg = String::new();
    open(&mut svg, "bars", (names + BAR + 72.0, height), title, about);
    let _ = write!(svg, "<line class=\"axis\" x1=\"{zero:.1}\" x2=\"{zero:.1}\" y1=\"4\" y2=\"{:.1}\"/>", height - 8.0);
    for (i, (name, figure, told)) in bars.iter().enumerate() {
        let y = (i as f64).mul_add(LINE, 8.0);
        let length = if largest > 0.0 { finite(*figure).abs() / largest * room } else { 0.0 };
        let (x, class) = if *figure < 0.0 { (zero - length, "bar less") } else { (zero, "bar") };
        let short: String =
            if name.chars().count() > NAME_CHARS { name.chars().take(NAME_CHARS - 1).chain(['…']).collect() } else { name.clone() };
        let _ = write!(svg, "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", names - 10.0, y + 14.0, escaped(&short));
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"18\"><title>{}</title></rect>",
            escaped(&format!("{name}: {told}"))
        );
        // Right of the longer side, so that a figure never lies on a bar.
        let at = if negative { names + BAR + 8.0 } else { zero + length + 8.0 };
        let _ = write!(svg, "<text class=\"told\" x=\"{at:.1}\" y=\"{:.1}\">{}</text>", y + 14.0, escaped(told));
    }
    svg.push_str("</svg></figure>");
    Chart { svg }
}

/// One bar in parts that add up to the whole: name, class and figure of each.
pub(super) fn share(title: &str, about: &str, parts: &[(&str, &str, u64)]) -> Chart {
    let whole = parts.iter().map(|(.., figure)| *figure).sum::<u64>().max(1);
    let mut svg = String::new();
    open(&mut svg, "share", (480.0, 32.0), title, about);
    let mut x = 0.0;
    for (name, class, figure) in parts {
        let width = *figure as f64 / whole as f64 * 480.0;
        let told = escaped(&format!("{name}: {figure}"));
        let _ = write!(svg, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"4\" width=\"{width:.1}\" height=\"20\"><title>{told}</title></rect>");
        x += width;
    }
    svg.push_str("</svg>");
    let named: Vec<(String, &str)> = parts.iter().map(|(name, class, figure)| (format!("{name} {figure}"), *class)).collect();
    close(svg, &named.iter().map(|(name, class)| (name.as_str(), *class)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_figures_are_drawn_to_scale() {
        let hostile = "<script>'\"&".to_owned();
        let charts = [
            stacked(&hostile, &hostile, &[(&hostile, "good")], &[(hostile.clone(), vec![3])]),
            bars(&hostile, &hostile, &[(hostile.clone(), 1.0, hostile.clone())]),
            share(&hostile, &hostile, &[(&hostile, "good", 1)]),
        ];
        for chart in charts {
            assert!(!chart.svg.contains("<script") && chart.svg.contains("<title>") && chart.svg.contains("<desc>"), "{}", chart.svg);
        }
        let chart = bars("t", "a", &[("a".into(), -2.0, "-2".into()), ("b".into(), 1.0, "1".into()), ("c".into(), f64::NAN, "?".into())]);
        assert!(chart.svg.contains("width=\"160.0\"") && chart.svg.contains("width=\"80.0\"") && !chart.svg.contains("NaN"));
        let chart = share("t", "a", &[("shown", "good", 3), ("hidden", "bad", 1)]);
        assert!(chart.svg.contains("width=\"360.0\"") && chart.svg.contains("width=\"120.0\""));
    }

    #[test]
    fn nothing_to_draw_is_drawn() {
        assert!(stacked("t", "a", &[], &[]).svg.contains("</svg>"));
        assert!(bars("t", "a", &[]).svg.contains("</svg>"));
        assert!(share("t", "a", &[("x", "y", 0)]).svg.contains("</svg>"));
    }
}
