use super::*;
use crate::dicom::testing::DataSet;

fn code(value: &str, scheme: &str, meaning: &str) -> DataSet {
    DataSet::default()
        .text(tags::CODE_VALUE, "SH", value)
        .text(tags::CODING_SCHEME_DESIGNATOR, "SH", scheme)
        .text(tags::CODE_MEANING, "LO", meaning)
}

fn item(relationship: &str, kind: &str, name: (&str, &str)) -> DataSet {
    DataSet::default()
        .text(tags::RELATIONSHIP_TYPE, "CS", relationship)
        .text(tags::VALUE_TYPE, "CS", kind)
        .sequence(
            tags::CONCEPT_NAME_CODE_SEQUENCE,
            &[code(name.0, name.1, "")],
        )
}

fn coded(name: (&str, &str), value: (&str, &str, &str)) -> DataSet {
    item("HAS CONCEPT MOD", "CODE", name).sequence(
        tags::CONCEPT_CODE_SEQUENCE,
        &[code(value.0, value.1, value.2)],
    )
}

fn num(name: (&str, &str), value: &str, unit: &str, children: &[DataSet]) -> DataSet {
    let measured = DataSet::default()
        .sequence(
            tags::MEASUREMENT_UNITS_CODE_SEQUENCE,
            &[code(unit, "UCUM", "")],
        )
        .text(tags::NUMERIC_VALUE, "DS", value);
    let item = item("CONTAINS", "NUM", name).sequence(tags::MEASURED_VALUE_SEQUENCE, &[measured]);
    if children.is_empty() {
        return item;
    }
    item.sequence(tags::CONTENT_SEQUENCE, children)
}

fn container(name: (&str, &str), children: &[DataSet]) -> DataSet {
    item("CONTAINS", "CONTAINER", name).sequence(tags::CONTENT_SEQUENCE, children)
}

/// A report of a cart that holds these items.
fn report(children: &[DataSet]) -> Option<CartReport> {
    let opened = DataSet::default()
        .text(tags::CONTENT_DATE, "DA", "20261121")
        .text(tags::CONTENT_TIME, "TM", "101500.123")
        .text(tags::MANUFACTURER, "LO", "GE Vingmed")
        .text(tags::MANUFACTURER_MODEL_NAME, "LO", "Vivid T8")
        .sequence(tags::CONTENT_SEQUENCE, children)
        .open();
    read(opened.attributes())
}

fn values(report: &CartReport) -> Vec<(Quantity, f64)> {
    report
        .values
        .iter()
        .map(|value| (value.quantity, value.value))
        .collect()
}

const LVEF: (&str, &str) = ("18043-0", "LN");
const EDV: (&str, &str) = ("18026-5", "LN");
const SITE_SRT: (&str, &str) = ("G-C0E3", "SRT");
const METHOD_SRT: (&str, &str) = ("G-C036", "SRT");

/// TID 5200 as a Vivid sends it: SRT, every value twice, once with its selection status.
#[test]
fn a_carts_report_of_old_codes_is_read() {
    let biplane = coded(METHOD_SRT, ("125207", "DCM", "Method of Disks, Biplane"));
    let selected = coded(("121404", "DCM"), ("121412", "DCM", "Mean value chosen"));
    let findings = container(
        ("121070", "DCM"),
        &[
            coded(SITE_SRT, ("T-32600", "SRT", "Left Ventricle")),
            container(
                ("125007", "DCM"),
                &[
                    num(LVEF, "61.5", "%", std::slice::from_ref(&biplane)),
                    num(LVEF, "57.8", "%", &[biplane.clone(), selected]),
                    num(EDV, "0.118", "l", &[biplane]),
                    num(("18148-7", "LN"), "49.8", "mL", &[]),
                    num(("8867-4", "LN"), "65", "{H.B.}/min", &[]),
                    // No unit that a volume can have.
                    num(EDV, "12", "cm", &[]),
                ],
            ),
        ],
    );
    let patient = container(
        ("121118", "DCM"),
        &[
            num(("8302-2", "LN"), "170", "cm", &[]),
            num(("29463-7", "LN"), "70", "kg", &[]),
            num(("8277-6", "LN"), "1.81", "m2", &[]),
        ],
    );
    let report = report(&[patient, findings]).unwrap();
    assert_eq!(report.maker, "GE Vingmed Vivid T8");
    assert_eq!(report.content, "20261121101500");
    assert_eq!(
        values(&report),
        [
            (Quantity::Lvef, 57.8),
            (Quantity::Edv, 118.0),
            (Quantity::Esv, 49.8),
            (Quantity::HeartRate, 65.0),
            (Quantity::Height, 1.7),
            (Quantity::Weight, 70.0),
            (Quantity::BodySurfaceArea, 1.81),
        ]
    );
    let lvef = report.value(Quantity::Lvef).unwrap();
    assert_eq!(lvef.method.as_deref(), Some("Method of Disks, Biplane"));
}

#[test]
fn an_ejection_fraction_of_any_chamber_counts_where_the_site_is_the_left_ventricle() {
    let fraction = ("70822001", "SCT");
    let site = |code, meaning| coded(("363698007", "SCT"), (code, "SCT", meaning));
    let left = num(fraction, "58", "%", &[site("87878005", "Left ventricle")]);
    let right = num(fraction, "45", "%", &[site("53085002", "Right ventricle")]);
    let found = report(&[right.clone(), left]).unwrap();
    assert_eq!(values(&found), [(Quantity::Lvef, 58.0)]);
    assert_eq!(report(&[right, num(fraction, "50", "%", &[])]), None);
    // TID 5302: a code of the maker's own, said in properties.
    let own = num(
        ("LVEF2", "99CART"),
        "0.55",
        "1",
        &[
            site("87878005", "Left ventricle"),
            coded(("125307", "DCM"), ("70822001", "SCT", "Ejection fraction")),
        ],
    );
    let found = report(&[own]).unwrap();
    assert_eq!(found.values[0].scheme, "99CART");
    assert!((found.values[0].value - 55.0).abs() < 1e-9);
}

#[test]
fn biplane_comes_before_the_single_planes_and_stress_is_left_out() {
    let four = num(("79993-2", "LN"), "55", "%", &[]);
    let both = num(("79991-6", "LN"), "57", "%", &[]);
    let found = report(&[four.clone(), both]).unwrap();
    assert_eq!(values(&found), [(Quantity::Lvef, 57.0)]);
    let stage = |meaning| coded(("18139-6", "LN"), ("1", "99CART", meaning));
    let peak = container(("125007", "DCM"), &[stage("Peak stress"), four.clone()]);
    assert_eq!(report(&[peak]), None);
    let rest = container(("125007", "DCM"), &[stage("Rest"), four]);
    assert!(report(&[rest]).is_some());
}

#[test]
fn what_cannot_be_is_no_value() {
    for (name, value, unit) in [
        (LVEF, "580", "%"),
        (LVEF, "NaN", "%"),
        (LVEF, "", "%"),
        (("8302-2", "LN"), "170", "m"),
        (("29463-7", "LN"), "7", "kg"),
        (EDV, "118", "mg"),
    ] {
        assert_eq!(
            report(&[num(name, value, unit, &[])]),
            None,
            "{value} {unit}"
        );
    }
    assert_eq!(report(&[item("CONTAINS", "NUM", LVEF)]), None);
    assert_eq!(report(&[DataSet::default()]), None);
}

#[test]
fn a_tree_without_end_is_left_at_its_bound() {
    let mut deep = num(LVEF, "58", "%", &[]);
    for _ in 0..20 {
        deep = container(("125007", "DCM"), &[deep]);
    }
    assert!(report(&[deep]).is_some());
    let text = item("CONTAINS", "TEXT", ("121106", "DCM"));
    let mut many = vec![text; ITEMS_MAX];
    many.push(num(LVEF, "58", "%", &[]));
    assert_eq!(report(&many), None);
}
