//! From Kafka's message definitions (JSON with comments, inside its published jars) to the compact notation of
//! `crates/protocol/schema`. The notation is described in `crates/protocol/schema/README.md`.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Converts one set of definitions, given as the text of each JSON file, into one schema file.
pub fn convert(definitions: &[String]) -> Result<String, String> {
    let mut messages = BTreeMap::new();
    for text in definitions {
        let json: Value =
            serde_json::from_str(&without_comments(text)).map_err(|error| format!("{error} in {text}"))?;
        let valid = text_of(&json, "validVersions")?;
        if valid == "none" {
            continue; // a removed API whose key is only reserved
        }
        let key = json.get("apiKey").and_then(Value::as_i64);
        let name = text_of(&json, "name")?.to_owned();
        let kind = text_of(&json, "type")?;
        let mut out = match (kind, key) {
            ("data" | "header", _) | (_, None) => format!("{kind} {name} {valid}"),
            (_, Some(key)) => format!("{kind} {key} {name} {valid}"),
        };
        match json.get("flexibleVersions").and_then(Value::as_str) {
            None | Some("none") => {}
            Some(flexible) => write!(out, " flexible {flexible}").map_err(|error| error.to_string())?,
        }
        if let Some(Value::Array(listeners)) = json.get("listeners") {
            let names: Vec<&str> = listeners.iter().filter_map(Value::as_str).collect();
            out.push_str(&format!(" listeners {}", names.join(",")));
        }
        if json.get("latestVersionUnstable").and_then(Value::as_bool) == Some(true) {
            out.push_str(" latest-unstable");
        }
        out.push('\n');
        if let Some(Value::Array(fields)) = json.get("fields") {
            write_fields(&mut out, fields, 1)?;
        }
        if let Some(Value::Array(structs)) = json.get("commonStructs") {
            for definition in structs {
                let fields =
                    definition.get("fields").and_then(Value::as_array).ok_or("a struct without fields")?;
                out.push_str(&format!(
                    "  struct {} {} {{\n",
                    text_of(definition, "name")?,
                    text_of(definition, "versions")?
                ));
                write_fields(&mut out, fields, 2)?;
                out.push_str("  }\n");
            }
        }
        // Requests first, each with its response behind it; then everything else by kind, key and name.
        let rank = match kind {
            "request" => (0, key, 0),
            "response" => (0, key, 1),
            "coordinator-key" => (1, key, 0),
            "coordinator-value" => (1, key, 1),
            _ => (2, key, 0),
        };
        messages.insert((rank, name), out);
    }
    let mut out = String::from(
        "# Made by `cargo xtask schema`; the notation is described in README.md beside this file.\n",
    );
    for message in messages.into_values() {
        out.push('\n');
        out.push_str(&message);
    }
    Ok(out)
}

fn write_fields(out: &mut String, fields: &[Value], depth: usize) -> Result<(), String> {
    for field in fields {
        let mut line = "  ".repeat(depth);
        // A tagged field may leave its versions out: then they are those of the tag.
        let versions = text_of(field, "versions").or_else(|_| text_of(field, "taggedVersions"))?;
        line.push_str(&format!("{} {} {versions}", text_of(field, "name")?, text_of(field, "type")?));
        if let Some(nullable) =
            field.get("nullableVersions").and_then(Value::as_str).filter(|text| *text != "none")
        {
            line.push_str(&format!(" nullable {nullable}"));
        }
        // A default of JSON's null means that there is none; the default null is the text "null".
        if let Some(default) = field.get("default").filter(|default| !default.is_null()) {
            let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            line.push_str(&format!(" default {}", if default.is_empty() { "''" } else { &default }));
        }
        if field.get("ignorable").and_then(Value::as_bool) == Some(true) {
            line.push_str(" ignorable");
        }
        if let Some(tag) = field.get("tag").and_then(Value::as_i64) {
            line.push_str(&format!(" tag {tag} {}", text_of(field, "taggedVersions")?));
        }
        if let Some(flexible) = field.get("flexibleVersions").and_then(Value::as_str) {
            line.push_str(&format!(" flexible {flexible}"));
        }
        match field.get("fields").and_then(Value::as_array) {
            Some(nested) => {
                out.push_str(&line);
                out.push_str(" {\n");
                write_fields(out, nested, depth + 1)?;
                out.push_str(&"  ".repeat(depth));
                out.push_str("}\n");
            }
            None => {
                out.push_str(&line);
                out.push('\n');
            }
        }
    }
    Ok(())
}

fn text_of<'a>(json: &'a Value, key: &str) -> Result<&'a str, String> {
    json.get(key).and_then(Value::as_str).ok_or_else(|| format!("no '{key}' in {json}"))
}

/// The definitions carry `//` comments, which JSON does not know. Slashes inside strings stay.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let mut in_string = false;
        let mut previous = ' ';
        let mut end = line.len();
        for (index, character) in line.char_indices() {
            match character {
                '"' if previous != '\\' => in_string = !in_string,
                '/' if !in_string && line[index..].starts_with("//") => {
                    end = index;
                    break;
                }
                _ => {}
            }
            previous = character;
        }
        out.push_str(&line[..end]);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_strings_stay() {
        assert_eq!(without_comments("{ \"a\": \"x//y\" } // z"), "{ \"a\": \"x//y\" } \n");
    }

    #[test]
    fn a_definition_becomes_a_few_lines() {
        let definition = r#"{ "apiKey": 9, "type": "request", "listeners": ["broker"], "name": "TestRequest",
            "validVersions": "1-3", "flexibleVersions": "2+", "fields": [
              { "name": "A", "type": "[]B", "versions": "0+", "nullableVersions": "2+", "fields": [
                { "name": "C", "type": "string", "versions": "0+", "default": "" } ] },
              { "name": "D", "type": "int32", "versions": "3+", "default": "-1", "tag": 0, "taggedVersions": "3+", "ignorable": true } ] }"#;
        let text = convert(&[definition.to_owned()]).unwrap();
        let body: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            body,
            [
                "request 9 TestRequest 1-3 flexible 2+ listeners broker",
                "  A []B 0+ nullable 2+ {",
                "    C string 0+ default ''",
                "  }",
                "  D int32 3+ default -1 ignorable tag 0 3+",
            ]
        );
    }
}
