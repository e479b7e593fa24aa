//! What to write where a manifest lacks a key: nothing of a model is guessed, so whoever brings one has to say it.

/// The keys without which a model is refused, each with what to write. `name` stands in the manifest and in each output.
pub(super) const REQUIRED: [(&str, &str); 23] = [
    (
        "name",
        "name = \"…\", the name of the model or of its output",
    ),
    (
        "version",
        "version = \"…\", another one whenever the file is another one",
    ),
    (
        "task",
        "task = \"lv-segmentation\", \"ef-regression\", \"view\" or \"quality\"",
    ),
    (
        "file",
        "file = \"model.pt\", the TorchScript file beside the manifest",
    ),
    (
        "sha256",
        "sha256 = \"…\", what `sha256sum` prints of the file",
    ),
    (
        "licence",
        "licence = \"…\", that of the weights as an SPDX expression, such as \"MIT\"",
    ),
    (
        "research",
        "research = true, unless the model is validated for patients",
    ),
    ("input", "a section [input] that describes the input tensor"),
    ("output", "a section [[output]] for each output tensor"),
    (
        "layout",
        "layout = \"NCHW\" for single frames or \"NCTHW\" for clips",
    ),
    ("channels", "channels = 1, or 3 for luma three times"),
    (
        "frames",
        "frames = the number of frames of one input, 1 in the layout NCHW",
    ),
    (
        "stride",
        "stride = 1 for consecutive frames, 2 for every other one",
    ),
    ("height", "height = the input's rows"),
    ("width", "width = the input's columns"),
    (
        "fit",
        "fit = \"stretch\", \"letterbox\" or \"centre-square\"",
    ),
    (
        "padding",
        "padding = \"none\", \"zero\" or \"repeat-last\": what fills a short clip",
    ),
    (
        "value_range",
        "value_range = what black and white become before mean and std, such as [0.0, 1.0] or [0.0, 255.0]",
    ),
    (
        "mean",
        "mean = what is subtracted, one number a channel; zeros if nothing is",
    ),
    (
        "std",
        "std = what is divided by, one number a channel; ones if nothing is",
    ),
    (
        "activation",
        "activation = \"identity\", \"sigmoid\", \"softmax\" or \"one-minus-sigmoid\"",
    ),
    (
        "labels",
        "labels = one name for each value of the output, in order",
    ),
    (
        "ef_error_sd_points",
        "ef_error_sd_points = a number, or leave [accuracy] out",
    ),
];

/// A parser's message, and what to write where it names a missing key.
pub(super) fn explain(message: &str) -> String {
    let key = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'));
    match key.and_then(|key| REQUIRED.iter().find(|(name, _)| *name == key)) {
        Some((_, what)) => format!("{message}: write {what}"),
        None => message.to_owned(),
    }
}
