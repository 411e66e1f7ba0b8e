//! What is wrong with a JSON text, and where in it.

use super::error::DocumentError;

/// What the parser says about the part of `text` that begins at byte `base`, with the position in all of `text`.
pub(super) fn json_problem(error: &serde_json::Error, text: &str, base: usize) -> DocumentError {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let problem = message.strip_suffix(&place).unwrap_or(&message).to_owned();
    if (problem.contains("surrogate") || problem.contains("hex escape"))
        && let Some((at, escape)) = half_surrogate(text)
    {
        let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[..at].matches('\n').count() + 1;
        return DocumentError::HalfSurrogate { escape: escape.to_owned(), line, column: at - line_start + 1 };
    }
    let before = &text[..base];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    DocumentError::Json {
        problem,
        line: before.matches('\n').count() + error.line(),
        column: error.column() + if error.line() == 1 { base - line_start } else { 0 },
    }
}

/// The first escape in a JSON text that is half of a surrogate pair without its other half, and the byte where it begins.
pub fn half_surrogate(text: &str) -> Option<(usize, &str)> {
    /// `\u` and four digits.
    const ESCAPE: usize = 6;
    let unit = |at: usize| {
        let digits = text.get(at..at + ESCAPE)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut at = 0;
    while let Some(backslash) = text.get(at..)?.find('\\') {
        let start = at + backslash;
        at = match unit(start) {
            Some(0xd800..=0xdbff) if matches!(unit(start + ESCAPE), Some(0xdc00..=0xdfff)) => start + 2 * ESCAPE,
            Some(0xd800..=0xdfff) => return Some((start, &text[start..start + ESCAPE])),
            Some(_) => start + ESCAPE,
            // Another escape: its character follows the backslash, and may be a backslash.
            None => start + 1 + text[start + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    None
}
