//! Path templates of `google.api.http`: which paths they fit, and what the variables in them are then.

use anyhow::{Context, bail};
use http_path_template::{Grammar, PathTemplate, Segment};
use percent_encoding::percent_decode_str;

/// A template.
#[derive(Debug)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
    variables: Vec<Variable>,
    verb: Option<String>,
}

#[derive(Debug)]
enum Part {
    /// A segment that is this.
    Literal(String),
    /// A segment that is not empty.
    One,
    /// All segments that are left.
    Rest,
}

#[derive(Debug)]
struct Variable {
    /// The field, with dots between levels.
    field: String,
    from: usize,
    parts: usize,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let parsed = PathTemplate::parse(text, Grammar::default()).with_context(|| format!("the path {text}"))?;
        let (mut parts, mut variables) = (Vec::new(), Vec::new());
        for segment in parsed.segments() {
            if let Segment::Variable(variable) = segment {
                let from = parts.len();
                for inner in variable.segments() {
                    parts.push(part(inner)?);
                }
                let field = variable.field_path().to_owned();
                variables.push(Variable { field, from, parts: parts.len() - from });
            } else {
                parts.push(part(*segment)?);
            }
        }
        Ok(Self { text: text.to_owned(), parts, variables, verb: parsed.verb().map(str::to_owned) })
    }

    /// The template as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The template with bare variables, as OpenAPI has them: without the way to their fields, so that `{id}` and `{thing.id}` are one
    /// path.
    pub fn plain(&self) -> String {
        let mut text = String::new();
        let mut rest = self.text.as_str();
        while let Some((before, from)) = rest.split_once('{') {
            let (variable, after) = from.split_once('}').unwrap_or((from, ""));
            let name = variable.split('=').next().unwrap_or_default();
            text.push_str(&format!("{before}{{{}}}", short(name)));
            rest = after;
        }
        text + rest
    }

    /// Whether it ends in a verb: then it goes before one that would take the verb for a part of a variable.
    pub fn has_verb(&self) -> bool {
        self.verb.is_some()
    }

    /// The fields that the path holds.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|variable| variable.field.as_str())
    }

    /// The fields of a path and their values; None = the path is another.
    pub fn find_values(&self, path: &str) -> Option<Vec<(&str, String)>> {
        let path = match &self.verb {
            Some(verb) => path.strip_suffix(verb.as_str())?.strip_suffix(':')?,
            None => path,
        };
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let takes_rest = matches!(self.parts.last(), Some(Part::Rest));
        let fixed = self.parts.len() - usize::from(takes_rest);
        if segments.len() < fixed || (segments.len() > fixed && !takes_rest) {
            return None;
        }
        let fits = self.parts.iter().zip(&segments).all(|(part, segment)| part.fits(segment));
        fits.then(|| self.variables.iter().map(|variable| variable.value(&segments, self)).collect())?
    }
}

impl Part {
    fn fits(&self, segment: &str) -> bool {
        match self {
            Self::Literal(literal) => decoded(segment).is_some_and(|segment| segment == *literal),
            Self::One => !segment.is_empty(),
            Self::Rest => true,
        }
    }
}

impl Variable {
    fn value<'a>(&'a self, segments: &[&str], template: &Template) -> Option<(&'a str, String)> {
        let ends_in_rest = matches!(template.parts.get(self.from + self.parts - 1), Some(Part::Rest));
        let end = if ends_in_rest { segments.len() } else { self.from + self.parts };
        let raw = segments.get(self.from..end)?;
        let value = match raw {
            [only] if !ends_in_rest => decoded(only)?,
            // A slash that was encoded stays so where slashes mean something.
            many => decoded(&many.join("/").replace("%2F", "%252F").replace("%2f", "%252f"))?,
        };
        Some((&self.field, value))
    }
}

/// The name of a field without the way to it.
pub fn short(field: &str) -> &str {
    field.rsplit('.').next().unwrap_or(field)
}

fn part(segment: Segment<'_>) -> anyhow::Result<Part> {
    Ok(match segment {
        Segment::Literal(text) => Part::Literal(decoded(text).context("a literal is not UTF-8")?),
        Segment::Single => Part::One,
        Segment::Rest => Part::Rest,
        Segment::Variable(_) | Segment::Affix { .. } | _ => bail!("{segment:?} is not a part of a path"),
    })
}

fn decoded(segment: &str) -> Option<String> {
    percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(template: &str, path: &str) -> Option<Vec<String>> {
        let template = Template::parse(template).ok()?;
        let values = template.find_values(path)?;
        Some(values.into_iter().map(|(field, value)| format!("{field}={value}")).collect())
    }

    fn fits(template: &str, path: &str) -> bool {
        values(template, path).is_some()
    }

    #[test]
    fn a_path_without_variables_fits_itself_alone() {
        assert!(fits("/a/b", "/a/b") && fits("/a/b", "/a/%62"));
        for path in ["", "/", "/a", "/a/b/", "/a/b/c", "a/b", "//a/b", "/a//b", "/A/b", "/a/b:c", "/a%2Fb"] {
            assert!(!fits("/a/b", path), "{path}");
        }
    }

    #[test]
    fn a_variable_is_a_segment_that_is_not_empty() {
        assert_eq!(values("/a/{b.c}", "/a/x%20y%2Fz"), Some(vec!["b.c=x y/z".to_owned()]));
        assert_eq!(values("/{a}/{b}", "/1/2"), Some(vec!["a=1".to_owned(), "b=2".to_owned()]));
        assert!(!fits("/a/{b}", "/a/") && !fits("/a/{b}", "/a") && !fits("/a/{b}", "/a/%ff"));
    }

    #[test]
    fn a_variable_of_several_segments_keeps_its_slashes() {
        assert_eq!(
            values("/v1/{name=shelves/*/books/*}", "/v1/shelves/1/books/2"),
            Some(vec!["name=shelves/1/books/2".to_owned()])
        );
        assert!(!fits("/v1/{name=shelves/*}", "/v1/shelf/1"));
        assert_eq!(values("/v1/{name=**}", "/v1/a/b%2Fc%20d"), Some(vec!["name=a/b%2Fc d".to_owned()]));
        assert_eq!(values("/v1/{name=**}", "/v1"), Some(vec!["name=".to_owned()]), "none at all, too");
    }

    #[test]
    fn a_verb_stands_at_the_end() {
        assert_eq!(values("/users/{id}:block", "/users/7:block"), Some(vec!["id=7".to_owned()]));
        assert!(!fits("/users/{id}:block", "/users/7") && !fits("/users/{id}:block", "/users/:block"));
        assert!(!fits("/users/{id}:block", "/users/7:unblock") && !fits("/users/{id}:block", "/users/7%3Ablock"));
    }
}
