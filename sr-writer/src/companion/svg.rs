//! An SVG in the making, and how much room a text takes.

use std::fmt::Write as _;

/// Colours of a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    pub(super) background: &'static str,
    pub(super) panel: &'static str,
    pub(super) grid: &'static str,
    pub(super) ink: &'static str,
    pub(super) faint: &'static str,
    pub(super) warning: &'static str,
    pub(super) diastole: &'static str,
    pub(super) systole: &'static str,
}

/// For a screen in a dark room.
pub(super) const DARK: Palette = Palette {
    background: "#0d1117",
    panel: "#161b24",
    grid: "#303846",
    ink: "#ecf0f6",
    faint: "#a3adbe",
    warning: "#ffbe5c",
    diastole: "#54d6e9",
    systole: "#ff9e5e",
};

/// For paper.
pub(super) const LIGHT: Palette = Palette {
    background: "#ffffff",
    panel: "#f1f4f8",
    grid: "#cdd4de",
    ink: "#10161f",
    faint: "#4d5869",
    warning: "#a34700",
    diastole: "#00788c",
    systole: "#b84a00",
};

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) fill: &'static str,
    pub(super) anchor: Anchor,
}

impl Style {
    pub(super) const fn new(size: f64, fill: &'static str) -> Self {
        Self {
            size,
            bold: false,
            fill,
            anchor: Anchor::Start,
        }
    }

    pub(super) const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(super) const fn at(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }
}

/// Where a text stands in relation to its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Left, top, width and height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Rect {
    pub(super) const fn new(x: f64, y: f64, width: f64, height: f64) -> Self {
        Self {
            x,
            y,
            width,
            height,
        }
    }

    pub(super) fn right(&self) -> f64 {
        self.x + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.y + self.height
    }
}

/// The document.
pub(super) struct Svg {
    text: String,
    clips: usize,
}

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" \
             font-family=\"DejaVu Sans\">\n",
            number(width),
            number(height)
        );
        Self { text, clips: 0 }
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    pub(super) fn rect(&mut self, rect: Rect, radius: f64, fill: &str) {
        self.push(format_args!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\" fill=\"{fill}\"/>",
            number(rect.x),
            number(rect.y),
            number(rect.width),
            number(rect.height),
            number(radius)
        ));
    }

    pub(super) fn circle(&mut self, [x, y]: [f64; 2], radius: f64, fill: &str) {
        self.push(format_args!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{fill}\"/>",
            number(x),
            number(y),
            number(radius)
        ));
    }

    /// A line of text whose baseline is at `y`.
    pub(super) fn text(&mut self, [x, y]: [f64; 2], style: Style, text: &str) {
        let anchor = match style.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let weight = if style.bold {
            " font-weight=\"bold\""
        } else {
            ""
        };
        self.push(format_args!(
            "<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"{anchor}{weight} xml:space=\"preserve\">{}</text>",
            number(x),
            number(y),
            number(style.size),
            style.fill,
            escaped(text)
        ));
    }

    /// Text in lines no wider than `width`; gives the baseline after the last one.
    pub(super) fn paragraph(
        &mut self,
        [x, mut y]: [f64; 2],
        style: Style,
        width: f64,
        lines_max: usize,
        text: &str,
    ) -> f64 {
        for line in wrapped(text, style, width, lines_max) {
            self.text([x, y], style, &line);
            y += style.size * 1.32;
        }
        y
    }

    /// A line through points; closed or open, dashed or not. `fill` is `none` where nothing is filled.
    pub(super) fn polyline(&mut self, points: &[[f64; 2]], stroke: Stroke, fill: &str) {
        let mut path = String::new();
        for ([x, y], command) in points
            .iter()
            .zip(std::iter::once('M').chain(std::iter::repeat('L')))
        {
            write!(path, "{command}{} {}", number(*x), number(*y)).unwrap_or_default();
        }
        if stroke.closed {
            path.push('Z');
        }
        let dash = if stroke.dashed {
            " stroke-dasharray=\"7 7\""
        } else {
            ""
        };
        self.push(format_args!(
            "<path d=\"{path}\" fill=\"{fill}\" stroke=\"{}\" stroke-width=\"{}\" stroke-opacity=\"{}\"{dash} \
             stroke-linejoin=\"round\" stroke-linecap=\"round\"/>",
            stroke.colour,
            number(stroke.width),
            number(stroke.opacity)
        ));
    }

    /// A frame, stretched over `whole`, of which only what lies in `shown` is seen.
    pub(super) fn frame(&mut self, index: usize, whole: Rect, shown: Rect) {
        self.clips += 1;
        let clip = self.clips;
        self.push(format_args!(
            "<clipPath id=\"clip{clip}\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>",
            number(shown.x),
            number(shown.y),
            number(shown.width),
            number(shown.height)
        ));
        self.push(format_args!(
            "<g clip-path=\"url(#clip{clip})\"><image href=\"frame:{index}\" x=\"{}\" y=\"{}\" width=\"{}\" \
             height=\"{}\" preserveAspectRatio=\"none\"/></g>",
            number(whole.x),
            number(whole.y),
            number(whole.width),
            number(whole.height)
        ));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing into a String doesn't fail.
        writeln!(self.text, "{element}").unwrap_or_default();
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stroke {
    pub(super) colour: &'static str,
    pub(super) width: f64,
    pub(super) opacity: f64,
    pub(super) dashed: bool,
    pub(super) closed: bool,
}

impl Stroke {
    pub(super) const fn new(colour: &'static str, width: f64) -> Self {
        Self {
            colour,
            width,
            opacity: 1.0,
            dashed: false,
            closed: false,
        }
    }
}

/// A number with one digit after the point at most: finer isn't seen.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Text as XML holds it. Control characters, which XML can't hold, become spaces.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            letter if letter.is_control() || matches!(letter, '\u{FFFE}' | '\u{FFFF}') => {
                escaped.push(' ');
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// How wide a text is, about: `DejaVu Sans`' advances by kind of letter, rounded up.
pub(super) fn width(text: &str, style: Style) -> f64 {
    let advance = |letter: char| match letter {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 0.34,
        'f' | 'r' | 't' | '(' | ')' | '-' | '/' => 0.42,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 0.97,
        'A'..='Z' => 0.74,
        '\u{1100}'.. => 1.0,
        _ => 0.64,
    };
    let bold = if style.bold { 1.12 } else { 1.0 };
    text.chars().map(advance).sum::<f64>() * style.size * bold
}

fn is_wide(letter: char) -> bool {
    letter >= '\u{2E80}'
}

/// Breaks a text into lines, between words, or between any two letters of a script without spaces. What doesn't fit into
/// `lines_max` lines ends with an ellipsis.
pub(super) fn wrapped(text: &str, style: Style, room: f64, lines_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for piece in pieces(text) {
        let fits = width(&(line.clone() + piece.trim_end()), style) <= room;
        if !fits && !line.is_empty() {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        line.push_str(&piece);
    }
    if !line.trim().is_empty() {
        lines.push(line.trim_end().to_owned());
    }
    if lines.len() > lines_max {
        lines.truncate(lines_max);
        if let Some(last) = lines.last_mut() {
            while !last.is_empty() && width(last, style) + style.size > room {
                last.pop();
            }
            last.push('\u{2026}');
        }
    }
    lines
}

/// Words with the space after them, and single wide letters, each with the signs that mustn't begin or end a line.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut before: Option<char> = None;
    for letter in text.chars() {
        let sticks = matches!(
            letter,
            '%' | '，' | '。' | '；' | '：' | '）' | '”' | '、' | '！' | '？'
        );
        let begins = match before {
            None => true,
            Some(before) if sticks || letter == ' ' || matches!(before, '（' | '“') => false,
            Some(before) => before == ' ' || is_wide(before) || is_wide(letter),
        };
        match pieces.last_mut().filter(|_| !begins) {
            Some(piece) => piece.push(letter),
            None => pieces.push(letter.to_string()),
        }
        before = Some(letter);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style::new(10.0, "#000");

    #[test]
    fn text_of_a_patient_is_no_markup() {
        let mut svg = Svg::new(10.0, 10.0);
        svg.text([0.0, 0.0], PLAIN, "<svg>&\u{0}]]>");
        let text = svg.finish();
        assert!(text.contains(">&lt;svg&gt;&amp; ]]&gt;</text>"), "{text}");
    }

    #[test]
    fn lines_stay_within_their_room() {
        for text in [
            "A sentence of several words that doesn't fit into one line",
            "未报告容积和面积：图像没有可用的标定。射血分数为比值，不需要标定。",
            "左心室射血分数的分级参考（低于正常范围）和（临界偏低）和（轻度降低）",
        ] {
            let lines = wrapped(text, PLAIN, 120.0, 9);
            assert!(lines.len() > 2, "{lines:?}");
            assert!(
                lines.iter().all(|line| width(line, PLAIN) <= 122.0),
                "{lines:?}"
            );
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
            assert!(!lines.iter().any(|line| line.ends_with('（')), "{lines:?}");
            let cut = wrapped(text, PLAIN, 120.0, 2);
            assert_eq!(cut.len(), 2);
            assert!(cut[1].ends_with('\u{2026}'), "{cut:?}");
        }
    }
}
