//! PS3.3's relationship constraints by SOP class: tables A.35.2-2 (Enhanced SR), A.35.3-2 (Comprehensive SR), A.35.4-2
//! (Key Object Selection), A.35.13-2 (Comprehensive 3D SR) and A.35.17-2 (Simplified Adult Echo SR), for the value types
//! that are written here. Comprehensive 3D differs from Comprehensive in SCOORD3D alone.

use super::{Node, Relationship, Value, ValueType};
use crate::form::ReportForm;

/// Deepest nesting that is written; far above what the templates need.
const DEPTH_MAX: usize = 16;

/// What is wrong with a content tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The root is no container.
    #[error("the root is a {0:?}, not a container")]
    Root(ValueType),
    /// The SOP class doesn't allow the relationship.
    #[error("{path}: {child:?} may not stand in {relationship:?} to {parent:?}")]
    Relationship {
        /// Where, as 1.2.3.
        path: String,
        /// The source's type.
        parent: ValueType,
        /// The relationship.
        relationship: Relationship,
        /// The target's type.
        child: ValueType,
    },
    /// An item without the concept name that its type requires.
    #[error("{0}: a concept name is missing")]
    Unnamed(String),
    /// A text of no characters.
    #[error("{0}: the text is empty")]
    EmptyText(String),
    /// A region that is selected from no image, or from several.
    #[error("{0}: a region is selected from exactly one frame of one image")]
    Region(String),
    /// Nested deeper than any template asks.
    #[error("{0}: nested too deep")]
    TooDeep(String),
}

/// Whether the SOP class allows `parent` -`relationship`-> `child` by value.
pub fn relationship_allowed(
    form: ReportForm,
    parent: ValueType,
    relationship: Relationship,
    child: ValueType,
) -> bool {
    use ReportForm as F;
    use ValueType as V;
    let statement = matches!(parent, V::Text | V::Code | V::Num);
    let simple = matches!(child, V::Text | V::Code | V::Num | V::UidRef);
    // The two that came first and last allow a container where the others don't.
    let is_comprehensive = matches!(form, F::Comprehensive3d | F::Comprehensive);
    if form == F::KeyObject {
        return parent == V::Container
            && match relationship {
                Relationship::Contains => matches!(child, V::Text | V::Image),
                Relationship::HasObsContext => matches!(child, V::Text | V::Code | V::UidRef),
                Relationship::HasConceptMod => child == V::Code,
                _ => false,
            };
    }
    match relationship {
        Relationship::Contains => {
            let is_flat = form == F::SimplifiedEcho;
            parent == V::Container && !(is_flat && matches!(child, V::Image | V::Scoord))
        }
        Relationship::HasObsContext => {
            (parent == V::Container || (statement && form != F::Enhanced)) && simple
        }
        Relationship::HasAcqContext => match form {
            F::SimplifiedEcho => parent == V::Container && (simple || child == V::Container),
            F::Enhanced => matches!(parent, V::Container | V::Image) && simple,
            _ => {
                matches!(parent, V::Container | V::Image | V::Num)
                    && (simple || child == V::Container)
            }
        },
        Relationship::HasConceptMod => matches!(child, V::Text | V::Code),
        Relationship::HasProperties => {
            let is_allowed = match child {
                V::Container => form != F::Enhanced,
                V::Image | V::Scoord => form != F::SimplifiedEcho,
                _ => true,
            };
            statement && is_allowed
        }
        Relationship::InferredFrom => {
            statement && (child != V::Container || is_comprehensive || form == F::SimplifiedEcho)
        }
        Relationship::SelectedFrom => parent == V::Scoord && child == V::Image,
    }
}

/// Checks a tree against its SOP class.
///
/// # Errors
/// The first [`TreeError`] in document order.
pub fn validate(root: &Node, form: ReportForm) -> Result<(), TreeError> {
    match root.value.value_type() {
        ValueType::Container => check(root, form, &mut vec![1]),
        other => Err(TreeError::Root(other)),
    }
}

fn check(node: &Node, form: ReportForm, position: &mut Vec<usize>) -> Result<(), TreeError> {
    let path = || {
        let steps: Vec<String> = position.iter().map(ToString::to_string).collect();
        steps.join(".")
    };
    if position.len() > DEPTH_MAX {
        return Err(TreeError::TooDeep(path()));
    }
    // PS3.3 table C.17-6: IMAGE alone may go without a name.
    let needs_no_name = matches!(
        node.value.value_type(),
        ValueType::Image | ValueType::Composite
    );
    if node.name.is_none() && !needs_no_name {
        return Err(TreeError::Unnamed(path()));
    }
    match &node.value {
        Value::Text(text) if text.trim().is_empty() => return Err(TreeError::EmptyText(path())),
        Value::Polyline(_) if !is_selected_once(node) => return Err(TreeError::Region(path())),
        _ => {}
    }
    for (i, (relationship, child)) in node.children.iter().enumerate() {
        position.push(i + 1);
        let (parent, kind) = (node.value.value_type(), child.value.value_type());
        if !relationship_allowed(form, parent, *relationship, kind) {
            let steps: Vec<String> = position.iter().map(ToString::to_string).collect();
            return Err(TreeError::Relationship {
                path: steps.join("."),
                parent,
                relationship: *relationship,
                child: kind,
            });
        }
        check(child, form, position)?;
        position.pop();
    }
    Ok(())
}

fn is_selected_once(region: &Node) -> bool {
    let mut images = region.children.iter().filter_map(|(r, child)| {
        (*r == Relationship::SelectedFrom).then_some(match &child.value {
            Value::Image(_, frames) => frames.len(),
            _ => 0,
        })
    });
    images.next() == Some(1) && images.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::super::{Coded, Container, Image, ImageRef, Region, Text};
    use super::*;
    use crate::codes;

    const FORMS: [ReportForm; 3] = [
        ReportForm::Comprehensive3d,
        ReportForm::Comprehensive,
        ReportForm::Enhanced,
    ];

    fn image() -> ImageRef {
        ImageRef {
            series: "1.2".parse().unwrap(),
            instance: "1.2.1".parse().unwrap(),
            class: "1.2.840.10008.5.1.4.1.1.3.1".parse().unwrap(),
        }
    }

    fn node(value: Value, children: Vec<(Relationship, Node)>) -> Node {
        Node {
            name: Some(codes::FINDING),
            value,
            children,
        }
    }

    #[test]
    fn what_the_builders_make_is_allowed() {
        let square = [[1.0, 1.0], [5.0, 1.0], [5.0, 5.0], [1.0, 5.0]];
        let region = Region::closed(codes::IMAGE_REGION, &square, image(), 3).unwrap();
        let tree: Node = Container::new(codes::MEASUREMENT_GROUP)
            .modifier(Coded::new(codes::FINDING_SITE, codes::LEFT_VENTRICLE))
            .observed(Text::new(codes::TRACKING_IDENTIFIER, "x"))
            .contains(region)
            .into();
        for form in FORMS {
            assert_eq!(validate(&tree, form), Ok(()));
        }
        assert_eq!(tree.images(), [image()]);
    }

    #[test]
    fn a_polyline_is_closed_once_and_needs_three_points() {
        let open = [[1.0, 1.0], [5.0, 1.0], [5.0, 5.0]];
        let closed = [[1.0, 1.0], [5.0, 1.0], [5.0, 5.0], [1.0, 1.0]];
        for points in [&open[..], &closed[..]] {
            let node: Node = Region::closed(codes::IMAGE_REGION, points, image(), 1)
                .unwrap()
                .into();
            let Value::Polyline(outline) = node.value() else {
                panic!("{node:?}")
            };
            assert_eq!(outline.len(), 4);
            assert_eq!(outline.first(), outline.last());
        }
        assert!(Region::closed(codes::IMAGE_REGION, &open[..2], image(), 1).is_none());
        assert!(Region::closed(codes::IMAGE_REGION, &open, image(), 0).is_none());
        let nan = [[1.0, 1.0], [5.0, f64::NAN], [5.0, 5.0]];
        assert!(Region::closed(codes::IMAGE_REGION, &nan, image(), 1).is_none());
    }

    #[test]
    fn wrong_trees_are_refused() {
        let whole = Node::from(Image::whole(None, image()));
        let code = || node(Value::Code(codes::DEVICE), Vec::new());
        let wrong = [
            (Value::Code(codes::DEVICE), Relationship::Contains, code()),
            (
                Value::Text("x".into()),
                Relationship::SelectedFrom,
                whole.clone(),
            ),
            (
                Value::Container(None),
                Relationship::HasConceptMod,
                whole.clone(),
            ),
            (
                Value::Container(None),
                Relationship::HasObsContext,
                whole.clone(),
            ),
        ];
        for (value, relationship, child) in wrong {
            let inner = node(value, vec![(relationship, child)]);
            let tree = node(
                Value::Container(None),
                vec![(Relationship::Contains, inner)],
            );
            for form in FORMS {
                let got = validate(&tree, form);
                assert!(
                    matches!(got, Err(TreeError::Relationship { .. })),
                    "{got:?}"
                );
            }
        }
        assert_eq!(
            validate(&whole, ReportForm::Comprehensive),
            Err(TreeError::Root(ValueType::Image))
        );
        let silent = node(
            Value::Container(None),
            vec![(
                Relationship::Contains,
                node(Value::Text(" ".into()), Vec::new()),
            )],
        );
        assert_eq!(
            validate(&silent, ReportForm::Comprehensive),
            Err(TreeError::EmptyText("1.1".into()))
        );
    }
}
