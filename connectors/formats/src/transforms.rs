//! The transforms that a connector file can name.

use crate::Shape;

/// The names of the transform that makes a row of a DynamoDB stream record: see [`Shape::NewImage`].
pub const EXTRACT_NEW_IMAGE: [&str; 2] = ["ExtractNewImage", "io.lakefeed.transforms.ExtractNewImage"];

/// The shape that a transform asks for, by the name in `transforms.<alias>.type`; `None` if there is no such transform.
pub fn shape_of(class: &str) -> Option<Shape> {
    EXTRACT_NEW_IMAGE.contains(&class).then_some(Shape::NewImage)
}
