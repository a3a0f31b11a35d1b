//! Charts as SVG.

use std::fmt::Write;

use crate::page::escape;
use crate::scale::{Scale, label};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = HEIGHT - 52.0;

/// What the axes measure, with the unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labels<'a> {
    /// Of the chart: read out in its place.
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
}

/// A line of a chart.
#[derive(Debug)]
pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A bar for each name.
pub(crate) fn bars(labels: Labels<'_>, values: &[(String, f64)]) -> String {
    let y = Scale::over(values.iter().map(|(_, v)| *v).chain([0.0]), BOTTOM, TOP);
    let mut svg = begin(labels, &y);
    let slots = Slots::draw(&mut svg, values.iter().map(|(name, _)| name.as_str()));
    for (i, (name, value)) in values.iter().enumerate() {
        let (top, zero) = (y.place(*value), y.place(0.0));
        write(
            &mut svg,
            format_args!(
                "<rect class=\"s0\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}: {}</title></rect>",
                slots.middle(i) - slots.half,
                top.min(zero),
                slots.half * 2.0,
                (zero - top).abs(),
                escape(name),
                label(*value, 0)
            ),
        );
    }
    end(svg)
}

/// A line for each series, with a legend if there are several.
pub(crate) fn lines(labels: Labels<'_>, series: &[Series<'_>]) -> String {
    let all = || series.iter().flat_map(|s| s.points.iter());
    let y = Scale::over(all().map(|p| p.1), BOTTOM, TOP);
    let mut svg = begin(labels, &y);
    let x = x_axis(&mut svg, all().map(|p| p.0));
    for (i, line) in series.iter().enumerate() {
        let mut path = String::new();
        for (j, point) in line.points.iter().enumerate() {
            write(&mut path, format_args!("{}{:.1} {:.1}", if j == 0 { 'M' } else { 'L' }, x.place(point.0), y.place(point.1)));
        }
        write(&mut svg, format_args!("<path class=\"line s{i}\" d=\"{path}\"/>"));
    }
    let svg = end(svg);
    if series.len() < 2 {
        return svg;
    }
    let legend: String = series.iter().enumerate().map(|(i, s)| format!("<span><i class=\"s{i}\"></i>{}</span>", escape(s.name))).collect();
    format!("<p class=\"legend\">{legend}</p>{svg}")
}

/// A dot for each point.
pub(crate) fn scatter(labels: Labels<'_>, points: &[(f64, f64)]) -> String {
    let y = Scale::over(points.iter().map(|p| p.1), BOTTOM, TOP);
    let mut svg = begin(labels, &y);
    let x = x_axis(&mut svg, points.iter().map(|p| p.0));
    // Strokes without length, with round ends: a tenth of the text of as many circles.
    let mut path = String::new();
    for point in points {
        write(&mut path, format_args!("M{:.1} {:.1}h0", x.place(point.0), y.place(point.1)));
    }
    write(&mut svg, format_args!("<path class=\"dots s0\" d=\"{path}\"/>"));
    end(svg)
}

/// A box for each name: minimum, lower quartile, median, upper quartile and maximum.
pub(crate) fn boxes(labels: Labels<'_>, values: &[(String, [f64; 5])]) -> String {
    let y = Scale::over(values.iter().flat_map(|(_, v)| *v), BOTTOM, TOP);
    let mut svg = begin(labels, &y);
    let slots = Slots::draw(&mut svg, values.iter().map(|(name, _)| name.as_str()));
    for (i, (name, five)) in values.iter().enumerate() {
        let (middle, half) = (slots.middle(i), slots.half);
        let [low, q1, median, q3, high] = five.map(|v| y.place(v));
        write(
            &mut svg,
            format_args!(
                "<g class=\"box\"><title>{}: {}</title><path d=\"M{middle:.1} {low:.1}V{q1:.1}M{middle:.1} {q3:.1}V{high:.1}\"/>\
                 <rect class=\"s0\" x=\"{:.1}\" y=\"{q3:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
                 <path class=\"median\" d=\"M{:.1} {median:.1}h{:.1}\"/></g>",
                escape(name),
                five.map(|v| label(v, 1)).join(" / "),
                middle - half,
                half * 2.0,
                (q1 - q3).max(0.5),
                middle - half,
                half * 2.0
            ),
        );
    }
    end(svg)
}

/// Places for names along the x axis.
struct Slots {
    width: f64,
    half: f64,
}

impl Slots {
    fn draw<'a>(svg: &mut String, names: impl ExactSizeIterator<Item = &'a str> + Clone) -> Self {
        let width = (RIGHT - LEFT) / names.len().max(1) as f64;
        let slots = Self { width, half: (width * 0.36).min(40.0) };
        // A character is about 6.5 wide; names that would overlap are left out.
        let widest = names.clone().map(|n| shortened(n).chars().count()).max().unwrap_or(1) as f64 * 6.5 + 8.0;
        let every = (widest / width).ceil().max(1.0) as usize;
        for (i, name) in names.enumerate().step_by(every) {
            x_tick(svg, slots.middle(i), &shortened(name));
        }
        slots
    }

    fn middle(&self, i: usize) -> f64 {
        LEFT + self.width * (i as f64 + 0.5)
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= 16 { name.to_owned() } else { name.chars().take(15).chain(['…']).collect() }
}

fn begin(labels: Labels<'_>, y: &Scale) -> String {
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", escape(labels.title));
    for (place, text) in y.ticks() {
        write(
            &mut svg,
            format_args!(
                "<path class=\"grid\" d=\"M{LEFT} {place:.1}H{RIGHT}\"/><text class=\"right\" x=\"{}\" y=\"{:.1}\">{text}</text>",
                LEFT - 7.0,
                place + 4.0
            ),
        );
    }
    let (x_middle, y_middle) = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0);
    write(
        &mut svg,
        format_args!(
            "<text class=\"axis\" x=\"{x_middle}\" y=\"{}\">{}</text><text class=\"axis\" transform=\"translate(14 {y_middle}) rotate(-90)\">{}</text>",
            HEIGHT - 10.0,
            escape(labels.x),
            escape(labels.y)
        ),
    );
    svg
}

fn end(mut svg: String) -> String {
    write(&mut svg, format_args!("<path class=\"edge\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/></svg>"));
    // A chart keeps a readable size on a phone and scrolls there.
    format!("<div class=\"chart\">{svg}</div>")
}

fn x_axis(svg: &mut String, values: impl Iterator<Item = f64>) -> Scale {
    let x = Scale::over(values, LEFT, RIGHT);
    for (place, text) in x.ticks() {
        write(svg, format_args!("<path class=\"grid\" d=\"M{place:.1} {TOP}V{BOTTOM}\"/>"));
        x_tick(svg, place, &text);
    }
    x
}

fn x_tick(svg: &mut String, place: f64, text: &str) {
    write(svg, format_args!("<text class=\"axis\" x=\"{place:.1}\" y=\"{}\">{}</text>", BOTTOM + 17.0, escape(text)));
}

fn write(to: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _ = to.write_fmt(text);
}
