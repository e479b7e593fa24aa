//! The page: who, the numbers, both phases with their contours, the volume curve, the checks, and whose result it is.

use sonode_conformance::SopInstanceUid;
use sonode_findings::{
    Beat, CardiacPhase, CheckOutcome, Contour, Findings, InstanceFindings, LvMeasurement,
    LvSummary, Quantity, Rejection, Sentence, StudyContext, ViewLabel, VolumeIndex,
};

use super::panel::Panel;
use super::svg::{Anchor, DARK, LIGHT, Palette, Rect, Style, Svg, width};
use super::{Companion, CompanionRequest, curve};
use crate::texts::Language;
use crate::texts::page::PageTexts;

const WIDTH: f64 = 1280.0;
const HEIGHT: f64 = 960.0;
const MARGIN: f64 = 32.0;
const GAP: f64 = 16.0;
/// Where what is below the patient lines begins.
const TOP: f64 = 142.0;
/// Width of the column of numbers.
const NUMBERS: f64 = 372.0;
/// Where curve and checks begin.
const LOWER: f64 = 606.0;
/// Where the footer begins.
const FOOTER: f64 = 852.0;

/// The page as SVG, and the frames that it names.
pub(super) fn compose(
    findings: &Findings,
    context: &StudyContext,
    request: &CompanionRequest,
) -> (String, Vec<(SopInstanceUid, u32)>) {
    let mut page = Page {
        svg: Svg::new(WIDTH, HEIGHT),
        // Paper is white.
        palette: match request.companion {
            Companion::Pdf => LIGHT,
            Companion::SecondaryCapture | Companion::OverlayCine => DARK,
        },
        texts: request.language.page(),
        language: request.language,
        frames: Vec::new(),
    };
    page.svg.rect(
        Rect::new(0.0, 0.0, WIDTH, HEIGHT),
        0.0,
        page.palette.background,
    );
    page.header(context);
    match &findings.lv {
        Some(lv) => page.measured(findings, lv),
        None => page.unmeasured(findings),
    }
    page.footer(findings, request);
    (page.svg.finish(), page.frames)
}

struct Page {
    svg: Svg,
    palette: Palette,
    texts: &'static PageTexts,
    language: Language,
    frames: Vec<(SopInstanceUid, u32)>,
}

impl Page {
    fn header(&mut self, context: &StudyContext) {
        let Palette {
            ink,
            faint,
            warning,
            ..
        } = self.palette;
        let title = Style::new(28.0, ink).bold();
        self.svg.text([MARGIN, 48.0], title, self.texts.title);
        let notice = Style::new(22.0, warning).bold().at(Anchor::End);
        self.svg
            .text([WIDTH - MARGIN, 47.0], notice, self.language.ai_statement());
        let patient = Style::new(21.0, ink);
        self.svg.paragraph(
            [MARGIN, 84.0],
            patient,
            WIDTH - 2.0 * MARGIN,
            1,
            &patient_line(context, self.texts),
        );
        let study = Style::new(18.0, faint);
        self.svg.paragraph(
            [MARGIN, 114.0],
            study,
            WIDTH - 2.0 * MARGIN,
            1,
            &study_line(context, self.texts),
        );
    }

    fn measured(&mut self, findings: &Findings, lv: &LvSummary) {
        self.numbers(findings, lv);
        let left = MARGIN + NUMBERS + GAP;
        let room = Rect::new(left, TOP, WIDTH - MARGIN - left, LOWER - GAP - TOP);
        self.panels(findings, room);
        let height = FOOTER - LOWER - GAP;
        let half = (WIDTH - 2.0 * MARGIN - GAP) / 2.0;
        if let Some(clip) = findings.sources().first() {
            let bounds = Rect::new(MARGIN, LOWER, half, height);
            curve::draw(&mut self.svg, bounds, clip, &self.palette, self.texts);
        }
        let bounds = Rect::new(MARGIN + half + GAP, LOWER, half, height);
        self.checks(findings, bounds);
    }

    /// The column of numbers.
    fn numbers(&mut self, findings: &Findings, lv: &LvSummary) {
        let Palette {
            ink, faint, panel, ..
        } = self.palette;
        let bounds = Rect::new(MARGIN, TOP, NUMBERS, LOWER - GAP - TOP);
        self.svg.rect(bounds, 12.0, panel);
        let x = MARGIN + 18.0;
        let room = NUMBERS - 36.0;
        let label = Style::new(19.0, faint);
        self.svg
            .text([x, TOP + 32.0], label, self.texts.ejection_fraction);
        let ef = format!("{:.0} %", lv.measurement.lvef_percent);
        self.svg
            .text([x, TOP + 100.0], Style::new(68.0, ink).bold(), &ef);
        let mut y = TOP + 134.0;
        if let Some([low, high]) = lv.measurement.lvef_interval {
            let interval = format!("{} {low:.0} \u{2013} {high:.0} %", self.texts.interval);
            self.svg.text([x, y], Style::new(22.0, ink), &interval);
        }
        y += 30.0;
        for (name, value) in rows(findings, lv, self.language) {
            self.svg.text([x, y], label, name);
            let style = Style::new(21.0, ink).bold().at(Anchor::End);
            self.svg.text([x + room, y], style, &value);
            y += 27.0;
        }
        y += 6.0;
        let small = Style::new(16.0, faint);
        for text in self.remarks(findings, lv) {
            let lines = lines_left(y, bounds).min(3);
            if lines == 0 {
                break;
            }
            y = self.svg.paragraph([x, y], small, room, lines, &text);
        }
    }

    /// Method, grades, and what is missing.
    fn remarks(&self, findings: &Findings, lv: &LvSummary) -> Vec<String> {
        let sources = findings.sources();
        let beats = sources.first().into_iter().flat_map(|clip| &clip.beats);
        let mut remarks = vec![self.language.derivation(lv.measurement.method, beats)];
        if lv.measurement.edv_ml.is_none() {
            remarks.push(self.language.no_calibration().to_owned());
        }
        let interval = lv.measurement.lvef_interval;
        let line = |grade| self.language.ef_grade_line(grade, interval);
        remarks.extend(lv.grades.iter().map(line));
        remarks
    }

    /// End diastole and end systole of each clip that the result stands on: one row, or two of a biplane measurement.
    fn panels(&mut self, findings: &Findings, room: Rect) {
        let sources = findings.sources();
        let shown: Vec<(&InstanceFindings, Shown<'_>)> = sources
            .iter()
            .filter_map(|clip| Some((*clip, shown_beat(clip)?)))
            .collect();
        let rows = u32::try_from(shown.len()).map_or(1.0, f64::from).max(1.0);
        let height = (room.height - GAP * (rows - 1.0)) / rows;
        let width = (room.width - GAP) / 2.0;
        let mut y = room.y;
        for (clip, (beat, contours)) in &shown {
            let volumes = [beat.edv_ml, beat.esv_ml];
            let mut x = room.x;
            for (contour, volume) in contours.iter().zip(volumes) {
                let panel = Panel {
                    clip,
                    contour,
                    volume,
                    frame: self.frames.len(),
                    view: view_name(clip),
                };
                let bounds = Rect::new(x, y, width, height);
                panel.draw(&mut self.svg, bounds, &self.palette, self.texts);
                self.frames
                    .push((clip.sop_instance_uid.clone(), contour.frame));
                x += width + GAP;
            }
            y += height + GAP;
        }
    }

    /// How the checks ended, what they and the notes of the clips say.
    fn checks(&mut self, findings: &Findings, bounds: Rect) {
        let checks = &findings.checks;
        let Palette {
            ink,
            faint,
            warning,
            panel,
            ..
        } = self.palette;
        self.svg.rect(bounds, 12.0, panel);
        let x = bounds.x + 16.0;
        let title = Style::new(17.0, ink).bold();
        self.svg
            .text([x, bounds.y + 26.0], title, self.texts.checks);
        let count = |outcome| {
            checks
                .iter()
                .filter(|check| check.outcome == outcome)
                .count()
        };
        let counts: Vec<String> = OUTCOMES
            .into_iter()
            .zip(self.texts.outcomes)
            .map(|(outcome, name)| (count(outcome), name))
            .filter(|(count, _)| *count > 0)
            .map(|(count, name)| format!("{name} {count}"))
            .collect();
        let after = x + width(self.texts.checks, title) + 16.0;
        let style = Style::new(17.0, faint);
        self.svg.text(
            [after, bounds.y + 26.0],
            style,
            &counts.join(self.texts.comma),
        );
        let mut y = bounds.y + 54.0;
        let language = self.language;
        let of = |outcome, colour| {
            let found = checks.iter().filter(move |check| check.outcome == outcome);
            found.map(move |check| (colour, language.check_line(check)))
        };
        let sources = findings.sources();
        let notes = sources.iter().flat_map(|clip| {
            let notes = clip.notes.iter().map(|note| clip.sentence(note));
            notes.map(|note| (ink, language.note(&note)))
        });
        let warnings = |about_size| {
            let found = checks.iter().filter(move |check| {
                check.outcome == CheckOutcome::Warn && check.is_about_size() == about_size
            });
            found.map(move |check| (warning, language.check_line(check)))
        };
        // What there is no room for is the least that a reader misses: the head counts it.
        let lines: Vec<(&str, String)> = of(CheckOutcome::Fail, warning)
            .chain(warnings(false))
            .chain(notes)
            .chain(warnings(true))
            .chain(of(CheckOutcome::Skipped, faint))
            .collect();
        for (colour, text) in lines {
            let lines = lines_left(y, bounds);
            if lines == 0 {
                break;
            }
            let style = Style::new(16.0, colour);
            y = self
                .svg
                .paragraph([x, y], style, bounds.width - 32.0, lines, &text);
            y += 3.0;
        }
    }

    /// That nothing was measured, and why.
    fn unmeasured(&mut self, findings: &Findings) {
        let Palette {
            ink, faint, panel, ..
        } = self.palette;
        let bounds = Rect::new(MARGIN, TOP, WIDTH - 2.0 * MARGIN, FOOTER - GAP - TOP);
        self.svg.rect(bounds, 12.0, panel);
        let x = MARGIN + 24.0;
        let style = Style::new(34.0, ink).bold();
        self.svg
            .text([x, TOP + 62.0], style, self.texts.not_measured);
        let room = bounds.width - 48.0;
        let mut y = TOP + 110.0;
        for line in self.reasons(findings) {
            if y > bounds.bottom() - 60.0 {
                break;
            }
            let style = Style::new(20.0, faint);
            y = self.svg.paragraph([x, y], style, room, 2, &line) + 8.0;
        }
    }

    fn reasons(&self, findings: &Findings) -> Vec<String> {
        if findings.instances.is_empty() {
            return vec![self.language.no_instances().to_owned()];
        }
        let mut seen: Vec<(Rejection, Option<Sentence>, usize)> = Vec::new();
        for instance in &findings.instances {
            let Some(reason) = instance.rejected else {
                continue;
            };
            let detail = instance.rejected_detail.as_deref();
            let detail = detail.map(|detail| instance.sentence(detail));
            match seen
                .iter_mut()
                .find(|(known, of, _)| (known, of) == (&reason, &detail))
            {
                Some((_, _, count)) => *count += 1,
                None => seen.push((reason, detail, 1)),
            }
        }
        seen.into_iter()
            .map(|(reason, detail, count)| {
                self.language
                    .not_measured(count, reason, detail.as_ref(), &[])
            })
            .collect()
    }

    fn footer(&mut self, findings: &Findings, request: &CompanionRequest) {
        let Palette { faint, warning, .. } = self.palette;
        let mut y = FOOTER + 12.0;
        let notice = Style::new(19.0, warning).bold();
        let research = findings.models.iter().any(|model| model.research);
        let words = if research {
            self.language.research_statement()
        } else {
            self.language.ai_statement()
        };
        self.svg.text([MARGIN, y], notice, words);
        let more = Style::new(16.0, faint).at(Anchor::End);
        self.svg.text([WIDTH - MARGIN, y], more, self.texts.more);
        y += 28.0;
        let small = Style::new(15.0, faint);
        self.svg
            .text([MARGIN, y], small, &made(request, self.texts));
        y += 24.0;
        let models: Vec<String> = findings
            .models
            .iter()
            .map(|model| {
                let hash = model.sha256.get(..8).unwrap_or_default();
                format!("{} {} ({hash})", model.name, model.version)
            })
            .collect();
        if !models.is_empty() {
            let PageTexts { comma, colon, .. } = self.texts;
            let text = format!("{}{colon}{}", self.texts.models, models.join(comma));
            self.svg
                .paragraph([MARGIN, y], small, WIDTH - 2.0 * MARGIN, 2, &text);
        }
    }
}

const OUTCOMES: [CheckOutcome; 4] = [
    CheckOutcome::Pass,
    CheckOutcome::Warn,
    CheckOutcome::Fail,
    CheckOutcome::Skipped,
];

type Shown<'a> = (&'a Beat, [&'a Contour; 2]);

/// The beat that is shown: the one whose ejection fraction is nearest to the clip's, and its two contours.
fn shown_beat(clip: &InstanceFindings) -> Option<Shown<'_>> {
    let contour = |frame: u32, phase: CardiacPhase| {
        clip.contours
            .iter()
            .find(|contour| contour.frame == frame && contour.phase == phase)
    };
    let target = clip.lv.as_ref().map_or(0.0, |lv| lv.lvef_percent);
    clip.beats
        .iter()
        .filter_map(|beat| {
            let diastole = contour(beat.ed_frame, CardiacPhase::EndDiastole)?;
            let systole = contour(beat.es_frame, CardiacPhase::EndSystole)?;
            Some((beat, [diastole, systole]))
        })
        .min_by(|a, b| {
            let off = |beat: &Beat| (beat.lvef_percent - target).abs();
            off(a.0).total_cmp(&off(b.0))
        })
}

/// Lines of small text whose first baseline is at `y`, down to a margin at the bottom of a box; four at most.
fn lines_left(y: f64, bounds: Rect) -> usize {
    (0..4_u8)
        .take_while(|line| y + 21.2 * f64::from(*line) <= bounds.bottom() - 10.0)
        .count()
}

/// The view as readers know it; empty for another one.
pub(super) const fn view_name(clip: &InstanceFindings) -> &'static str {
    match &clip.view {
        Some(view) => match view.label {
            ViewLabel::A4C => "A4C",
            ViewLabel::A2C => "A2C",
            ViewLabel::Other => "",
        },
        None => "",
    }
}

/// The numbers below the ejection fraction, as far as they are known.
fn rows(findings: &Findings, lv: &LvSummary, language: Language) -> Vec<(&'static str, String)> {
    let texts = language.page();
    let LvMeasurement { edv_ml, esv_ml, .. } = lv.measurement;
    let ml = |volume: Option<f64>| volume.map(|ml| format!("{ml:.0} ml"));
    let clip = findings.sources().first().copied();
    let rate = clip
        .and_then(|clip| clip.heart_rate_bpm)
        .map(|rate| format!("{rate:.0} /min"));
    let per_area = |of: fn(&VolumeIndex) -> f64| {
        let index = lv.index.as_ref()?;
        Some(format!("{:.0} ml/m\u{b2}", of(index)))
    };
    let reports = findings.instances.iter();
    let cart = reports
        .filter(|instance| findings.cart.as_ref() == Some(&instance.sop_instance_uid))
        .find_map(|instance| instance.cart.as_ref()?.value(Quantity::Lvef))
        .map(|value| format!("{:.0} %", value.value));
    let quality = clip
        .and_then(|clip| clip.quality.as_ref())
        .map(|quality| language.grade(quality.grade).to_owned());
    let rows = [
        (texts.edv, ml(edv_ml)),
        (texts.esv, ml(esv_ml)),
        (texts.heart_rate, rate),
        (texts.edv_index, per_area(|index| index.edv_ml_m2)),
        (texts.esv_index, per_area(|index| index.esv_ml_m2)),
        (texts.cart_lvef, cart),
        (texts.quality, quality),
    ];
    rows.into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Name, ID, birth date and sex.
fn patient_line(context: &StudyContext, texts: &PageTexts) -> String {
    let sex = match context.patient_sex.expose().trim() {
        "M" => texts.sexes[0],
        "F" => texts.sexes[1],
        "O" => texts.sexes[2],
        _ => "",
    };
    let labelled = |label: &str, value: &str| match value.trim() {
        "" => String::new(),
        value => format!("{label} {value}"),
    };
    joined(&[
        person(context.patient_name.expose()),
        labelled(texts.patient_id, context.patient_id.expose()),
        labelled(texts.born, &date(context.patient_birth_date.expose())),
        sex.to_owned(),
    ])
}

fn study_line(context: &StudyContext, texts: &PageTexts) -> String {
    let day = date(&context.study_date);
    let of = if day.is_empty() {
        String::new()
    } else {
        format!("{} {day}", texts.study)
    };
    let number = context.accession_number.expose().trim();
    let accession = if number.is_empty() {
        String::new()
    } else {
        format!("{} {number}", texts.accession)
    };
    joined(&[
        of,
        accession,
        context.study_description.expose().trim().to_owned(),
    ])
}

fn joined(parts: &[String]) -> String {
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("   \u{b7}   ")
}

/// A name as people write it: each of its representations, family name first (PS3.5 section 6.2.1).
fn person(name: &str) -> String {
    let groups = name.split('=').map(|group| {
        let parts: Vec<&str> = group
            .split('^')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect();
        let is_latin = group
            .chars()
            .any(|letter| letter.is_alphabetic() && letter < '\u{2E80}');
        match (parts.split_first(), is_latin) {
            (Some((family, given)), true) if !given.is_empty() => {
                format!("{family}, {}", given.join(" "))
            }
            (Some(_), _) => parts.concat(),
            (None, _) => String::new(),
        }
    });
    let groups: Vec<String> = groups.filter(|group| !group.is_empty()).collect();
    groups.join(" / ")
}

/// `YYYYMMDD` as `YYYY-MM-DD`; anything else as it stands.
fn date(text: &str) -> String {
    let text = text.trim();
    let is_date = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    match (text.get(..4), text.get(4..6), text.get(6..)) {
        (Some(year), Some(month), Some(day)) if is_date => format!("{year}-{month}-{day}"),
        _ => text.to_owned(),
    }
}

/// Revision, time and maker.
fn made(request: &CompanionRequest, texts: &PageTexts) -> String {
    let revision = if request.revision > 1 {
        format!(
            "{} {}{}{}",
            texts.revision, request.revision, texts.comma, texts.replaces
        )
    } else {
        format!("{} {}", texts.revision, request.revision)
    };
    let time = &request.content.time;
    let clock = match (time.get(..2), time.get(2..4)) {
        (Some(hours), Some(minutes)) => format!("{hours}:{minutes}"),
        _ => String::new(),
    };
    let day = date(&request.content.date);
    joined(&[
        revision,
        format!("{} {day} {clock}", texts.created),
        format!(
            "{} {} ({})",
            sonode_conformance::implementation::MODEL_NAME,
            sonode_conformance::implementation::SOFTWARE_VERSION,
            request.station_ae
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_people_write_them() {
        assert_eq!(person("Doe^Jane^^Dr."), "Doe, Jane Dr.");
        assert_eq!(
            person("Yamada^Tarou=山田^太郎=やまだ^たろう"),
            "Yamada, Tarou / 山田太郎 / やまだたろう"
        );
        assert_eq!(person("王^小明"), "王小明");
        assert_eq!(person("SMITH"), "SMITH");
        assert_eq!(person(""), "");
    }

    #[test]
    fn dates_are_read_at_a_glance_and_what_is_none_is_kept() {
        assert_eq!(date("19600131"), "1960-01-31");
        assert_eq!(date("1960.01.31"), "1960.01.31");
        assert_eq!(date(""), "");
    }
}
