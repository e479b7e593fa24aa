use super::*;

fn sound() -> Figures {
    Figures {
        volumes: [118.0, 49.0],
        calibrated: true,
        lvef_percent: 58.5,
        beat_lvef_percent: 58.5,
        lengths: [8.4, 7.2],
        area_length: [124.0, 53.0],
        heart_rate_bpm: Some(66.0),
        frame_rate_hz: Some(50.0),
        systole_s: Ok(0.33),
        inside_sector: 1.0,
        annulus_seen: true,
        apex_travel: 0.03,
        depth_order: true,
        atrium_below: Some(true),
        elongation: 1.8,
        region_share: 1.0,
    }
}

fn outcome_of(figures: &Figures, id: &str) -> CheckOutcome {
    let verdict = check(figures);
    verdict
        .checks
        .iter()
        .find(|check| check.id == id)
        .unwrap()
        .outcome
}

#[test]
fn a_sound_measurement_passes_every_rule() {
    let verdict = check(&sound());
    assert!(
        verdict
            .checks
            .iter()
            .all(|c| c.outcome == CheckOutcome::Pass),
        "{verdict:?}"
    );
    assert!(
        verdict
            .checks
            .iter()
            .all(|c| !c.source.is_empty() && !c.detail.is_empty())
    );
    assert_eq!(verdict.refusal(), None);
}

#[test]
fn hard_bounds_refuse_and_soft_ones_warn() {
    let with = |change: fn(&mut Figures)| {
        let mut figures = sound();
        change(&mut figures);
        figures
    };
    let hard = [
        ("esv-below-edv", with(|f| f.volumes = [50.0, 60.0])),
        ("ef-range", with(|f| f.lvef_percent = 4.0)),
        ("ef-range", with(|f| f.lvef_percent = 86.0)),
        ("edv-range", with(|f| f.volumes[0] = 700.0)),
        ("contour-in-sector", with(|f| f.inside_sector = 0.6)),
        ("apex-towards-probe", with(|f| f.depth_order = false)),
    ];
    for (id, figures) in hard {
        assert_eq!(outcome_of(&figures, id), CheckOutcome::Fail, "{id}");
        assert!(check(&figures).refusal().is_some());
    }
    let soft = [
        ("lv-length", with(|f| f.lengths = [4.0, 3.6])),
        ("length-change", with(|f| f.lengths = [8.0, 5.0])),
        ("cardiac-output", with(|f| f.heart_rate_bpm = Some(300.0))),
        ("es-ed-interval", with(|f| f.systole_s = Ok(0.6))),
        ("annulus-seen", with(|f| f.annulus_seen = false)),
        ("apex-travel", with(|f| f.apex_travel = 0.4)),
        (
            "atrium-beyond-annulus",
            with(|f| f.atrium_below = Some(false)),
        ),
        ("foreshortening", with(|f| f.elongation = 1.1)),
        ("frame-rate", with(|f| f.frame_rate_hz = Some(15.0))),
        ("one-region", with(|f| f.region_share = 0.7)),
        (
            "area-length-agreement",
            with(|f| f.area_length = [124.0, 80.0]),
        ),
    ];
    for (id, figures) in soft {
        assert_eq!(outcome_of(&figures, id), CheckOutcome::Warn, "{id}");
        assert_eq!(check(&figures).refusal(), None, "{id}");
    }
}

#[test]
fn a_cine_of_films_rate_has_frames_enough() {
    let at = |rate| Figures {
        frame_rate_hz: Some(rate),
        ..sound()
    };
    for (rate, outcome) in [
        (24_000.0 / 1001.0, CheckOutcome::Pass),
        (23.8, CheckOutcome::Warn),
    ] {
        assert_eq!(outcome_of(&at(rate), "frame-rate"), outcome, "{rate}");
    }
}

#[test]
fn what_is_not_known_is_skipped() {
    let figures = Figures {
        calibrated: false,
        heart_rate_bpm: None,
        frame_rate_hz: None,
        systole_s: Err(phrases::SYSTOLE_FIRST),
        atrium_below: None,
        ..sound()
    };
    for id in [
        "atrium-beyond-annulus",
        "edv-range",
        "lv-length",
        "cardiac-output",
        "es-ed-interval",
        "frame-rate",
    ] {
        assert_eq!(outcome_of(&figures, id), CheckOutcome::Skipped, "{id}");
    }
    assert_eq!(outcome_of(&figures, "ef-range"), CheckOutcome::Pass);
}
