//! Writes the Rust of a list of messages.

use crate::parse::{Field, Kind, Message, Struct, Type, Versions};
use std::fmt::Write;

/// Messages whose texts and bytes are slices of the frame they were read from: those that carry record batches.
const BORROWED: [&str; 4] =
    ["ProduceRequest", "FetchResponse", "ShareFetchResponse", "FetchSnapshotResponse"];

/// Adds a line to the output. Writing to a `String` cannot fail.
macro_rules! line {
    ($out:expr, $($argument:tt)*) => { writeln!($out, $($argument)*).expect("a String takes everything") };
}

pub fn emit(messages: &[Message], metadata: &[String]) -> String {
    let mut out = String::new();
    for message in messages {
        let emitter = Emitter { message, borrowed: BORROWED.contains(&message.name.as_str()) };
        line!(
            out,
            "/// Kafka's `{}`, versions {} to {}.",
            message.name,
            message.versions.first,
            message.versions.last
        );
        line!(out, "pub mod {} {{", snake(&message.name));
        line!(out, "use super::prelude::*;");
        for definition in &message.structs {
            emitter.definition(&mut out, definition);
        }
        emitter.message_impl(&mut out);
        line!(out, "}}");
        line!(out, "pub use {}::{};", snake(&message.name), message.name);
    }
    api_keys(&mut out, messages);
    metadata_records(&mut out, messages, metadata);
    round_trip(&mut out, messages);
    out
}

struct Emitter<'a> {
    message: &'a Message,
    borrowed: bool,
}

/// When a field is there, as far as the message's own versions leave a choice.
enum Presence {
    Always,
    Never,
    When(String),
}

impl Emitter<'_> {
    fn presence(&self, versions: Versions) -> Presence {
        let valid = self.message.versions;
        let both = versions.and(valid);
        match (both.first == valid.first, both.last == valid.last) {
            _ if both.is_empty() => Presence::Never,
            (true, true) => Presence::Always,
            (false, true) => Presence::When(format!("version >= {}", both.first)),
            (true, false) => Presence::When(format!("version <= {}", both.last)),
            (false, false) => Presence::When(format!("({}..={}).contains(&version)", both.first, both.last)),
        }
    }

    /// An expression for "this version has compact lengths and tagged fields".
    fn flexible(&self) -> String {
        match self.presence(self.message.flexible) {
            Presence::Always => "true".to_owned(),
            Presence::Never => "false".to_owned(),
            Presence::When(condition) => condition,
        }
    }

    fn fields<'d>(&self, definition: &'d Struct) -> Vec<&'d Field> {
        let valid = self.message.versions;
        definition.fields.iter().filter(|field| !field.versions.and(valid).is_empty()).collect()
    }

    fn has_lifetime(&self, kind: &Type) -> bool {
        self.borrowed
            && match kind {
                Type::String | Type::Bytes | Type::Records => true,
                Type::Array(element) => self.has_lifetime(element),
                Type::Struct(name) => self.struct_has_lifetime(name),
                _ => false,
            }
    }

    fn struct_has_lifetime(&self, name: &str) -> bool {
        let definition = self.message.structs.iter().find(|definition| definition.name == name);
        let definition = definition.unwrap_or_else(|| panic!("{} has no struct {name}", self.message.name));
        self.fields(definition).iter().any(|field| self.has_lifetime(&field.kind))
    }

    fn lifetime(&self, name: &str) -> &'static str {
        if self.borrowed && self.struct_has_lifetime(name) { "<'a>" } else { "" }
    }

    fn rust_type(&self, kind: &Type) -> String {
        match kind {
            Type::Bool => "bool".to_owned(),
            Type::Int8 => "i8".to_owned(),
            Type::Int16 => "i16".to_owned(),
            Type::Uint16 => "u16".to_owned(),
            Type::Int32 => "i32".to_owned(),
            Type::Uint32 => "u32".to_owned(),
            Type::Int64 => "i64".to_owned(),
            Type::Float64 => "f64".to_owned(),
            Type::Uuid => "Uuid".to_owned(),
            Type::String if self.borrowed => "&'a str".to_owned(),
            Type::String => "String".to_owned(),
            Type::Bytes if self.borrowed => "&'a [u8]".to_owned(),
            Type::Bytes => "Vec<u8>".to_owned(),
            Type::Records if self.borrowed => "Records<'a>".to_owned(),
            Type::Records => "Vec<u8>".to_owned(),
            Type::Struct(name) => format!("{name}{}", self.lifetime(name)),
            Type::Array(element) => format!("Vec<{}>", self.rust_type(element)),
        }
    }

    fn is_optional(&self, field: &Field) -> bool {
        !field.nullable.and(self.message.versions).is_empty() || field.default.as_deref() == Some("null")
    }

    fn default_value(&self, field: &Field) -> String {
        let optional = self.is_optional(field);
        if field.default.as_deref() == Some("null") {
            return "None".to_owned();
        }
        let value = match (&field.kind, field.default.as_deref()) {
            (Type::Bool, default) => default.unwrap_or("false").to_owned(),
            (Type::Int8 | Type::Int16 | Type::Uint16 | Type::Int32 | Type::Uint32 | Type::Int64, default) => {
                default.unwrap_or("0").to_owned()
            }
            (Type::Float64, default) => format!("{}_f64", default.unwrap_or("0")),
            (Type::Uuid, None) => "Uuid::ZERO".to_owned(),
            (Type::String, default) => {
                let text = default.filter(|text| *text != "''").unwrap_or("");
                match (text, self.borrowed) {
                    (text, true) => format!("{text:?}"),
                    ("", false) => "String::new()".to_owned(),
                    (text, false) => format!("String::from({text:?})"),
                }
            }
            (Type::Bytes, None) if self.borrowed => "&[]".to_owned(),
            (Type::Records, None) if self.borrowed => "Records::Inline(&[])".to_owned(),
            (Type::Bytes | Type::Records | Type::Array(_), None) => "Vec::new()".to_owned(),
            (Type::Struct(name), None) => format!("{name}::default()"),
            (kind, Some(default)) => panic!("{}: {kind:?} cannot have the default {default}", field.name),
        };
        if optional { format!("Some({value})") } else { value }
    }

    fn definition(&self, out: &mut String, definition: &Struct) {
        let name = &definition.name;
        let lifetime = self.lifetime(name);
        let fields = self.fields(definition);
        line!(out, "#[derive(Debug, Clone, PartialEq)] pub struct {name}{lifetime} {{");
        for field in &fields {
            let kind = self.rust_type(&field.kind);
            let kind = if self.is_optional(field) { format!("Option<{kind}>") } else { kind };
            line!(out, "pub {}: {kind},", ident(&field.name));
        }
        line!(out, "}}");
        let short = if lifetime.is_empty() { "" } else { "<'_>" };
        line!(out, "impl Default for {name}{short} {{ fn default() -> Self {{ Self {{");
        for field in &fields {
            line!(out, "{}: {},", ident(&field.name), self.default_value(field));
        }
        line!(out, "}} }} }}");
        line!(out, "impl{lifetime} {name}{lifetime} {{");
        self.read_fn(out, &fields, lifetime);
        self.write_fn(out, &fields);
        line!(out, "}}");
    }

    fn read_fn(&self, out: &mut String, fields: &[&Field], lifetime: &str) {
        let reader = if lifetime.is_empty() { "Reader<'_>" } else { "Reader<'a>" };
        line!(out, "#[allow(unused_variables, unused_mut)]");
        line!(
            out,
            "pub(super) fn read_fields(r: &mut {reader}, version: i16) -> Result<Self, DecodeError> {{"
        );
        line!(out, "let flexible = {};", self.flexible());
        line!(out, "let mut m = Self::default();");
        for field in fields.iter().filter(|field| field.tag.is_none()) {
            let name = ident(&field.name);
            let read = self.read_field(field);
            match self.presence(field.versions) {
                Presence::Always => line!(out, "m.{name} = {read};"),
                Presence::When(condition) => line!(out, "if {condition} {{ m.{name} = {read}; }}"),
                Presence::Never => unreachable!("fields of no version were left out"),
            }
        }
        line!(out, "if flexible {{ r.tagged_fields(|tag, r| {{ match tag {{");
        for field in fields.iter() {
            let Some(tag) = field.tag else { continue };
            let guard = match self.presence(field.versions) {
                Presence::When(condition) => format!(" if {condition}"),
                _ => String::new(),
            };
            line!(
                out,
                "{tag}{guard} => {{ m.{} = {}; Ok(true) }}",
                ident(&field.name),
                self.read_field(field)
            );
        }
        line!(out, "_ => Ok(false) }} }})?; }}");
        line!(out, "Ok(m) }}");
    }

    /// An expression that reads a field, null and all.
    fn read_field(&self, field: &Field) -> String {
        let flexible = if field.never_flexible { "false" } else { "flexible" };
        let optional = self.is_optional(field);
        let nullable = match self.presence(field.nullable) {
            Presence::Always => "true".to_owned(),
            Presence::Never => "false".to_owned(),
            Presence::When(condition) => condition,
        };
        let name = format!("{:?}", field.name);
        if let Type::Struct(struct_name) = &field.kind {
            let read = format!("{struct_name}::read_fields(r, version)?");
            // As a tagged field, the mark of a struct that may be null is a varint, 0 for null; elsewhere it is a signed byte.
            let is_null = if field.tag.is_some() { "r.uvarint()? == 0" } else { "r.i8()? < 0" };
            return match (optional, nullable.as_str()) {
                (false, _) => read,
                (true, "true") => format!("if {is_null} {{ None }} else {{ Some({read}) }}"),
                (true, "false") => format!("Some({read})"),
                (true, condition) => {
                    format!("if ({condition}) && {is_null} {{ None }} else {{ Some({read}) }}")
                }
            };
        }
        let plain = match &field.kind {
            Type::String => format!("r.{}string({flexible})?", if self.borrowed { "borrowed_" } else { "" }),
            Type::Bytes => format!("r.{}bytes({flexible})?", if self.borrowed { "borrowed_" } else { "" }),
            Type::Records => {
                format!("r.{}records({flexible})?", if self.borrowed { "borrowed_" } else { "" })
            }
            Type::Array(element) => {
                format!("r.array({flexible}, |r| Ok({}))?", self.read_element(element))
            }
            scalar => return self.read_element(scalar),
        };
        match (optional, nullable.as_str()) {
            (false, _) => format!("not_null({plain}, {name})?"),
            (true, "true") => plain,
            (true, condition) => format!("nullable({plain}, {condition}, {name})?"),
        }
    }

    fn read_element(&self, kind: &Type) -> String {
        let borrowed = if self.borrowed { "borrowed_" } else { "" };
        match kind {
            Type::Bool => "r.bool()?".to_owned(),
            Type::Int8 => "r.i8()?".to_owned(),
            Type::Int16 => "r.i16()?".to_owned(),
            Type::Uint16 => "r.u16()?".to_owned(),
            Type::Int32 => "r.i32()?".to_owned(),
            Type::Uint32 => "r.u32()?".to_owned(),
            Type::Int64 => "r.i64()?".to_owned(),
            Type::Float64 => "r.f64()?".to_owned(),
            Type::Uuid => "r.uuid()?".to_owned(),
            Type::Struct(name) => format!("{name}::read_fields(r, version)?"),
            Type::String => format!("not_null(r.{borrowed}string(flexible)?, \"an element\")?"),
            Type::Bytes => format!("not_null(r.{borrowed}bytes(flexible)?, \"an element\")?"),
            other => panic!("no array of {other:?}"),
        }
    }

    fn write_fn(&self, out: &mut String, fields: &[&Field]) {
        line!(out, "#[allow(unused_variables)]");
        line!(
            out,
            "pub(super) fn write_fields(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {{"
        );
        line!(out, "let flexible = {};", self.flexible());
        for field in fields.iter().filter(|field| field.tag.is_none()) {
            let write = self.write_field(field);
            match self.presence(field.versions) {
                Presence::Always => line!(out, "{write}"),
                Presence::When(condition) => {
                    line!(out, "if {condition} {{ {write} }}");
                    self.refuse_if_set(out, field);
                }
                Presence::Never => unreachable!("fields of no version were left out"),
            }
        }
        let mut tagged: Vec<&&Field> = fields.iter().filter(|field| field.tag.is_some()).collect();
        tagged.sort_by_key(|field| field.tag);
        line!(out, "if flexible {{");
        if tagged.is_empty() {
            line!(out, "w.uvarint(0);");
        } else {
            line!(out, "let mut count = 0u32;");
            for field in &tagged {
                line!(out, "if {} {{ count += 1; }}", self.tag_is_written(field));
            }
            line!(out, "w.uvarint(count);");
            for field in &tagged {
                let tag = field.tag.unwrap_or_default();
                line!(out, "if {} {{ w.tagged_field({tag}, |w| {{", self.tag_is_written(field));
                line!(out, "{} Ok(()) }})?; }}", self.write_field(field));
            }
        }
        line!(out, "}}");
        for field in &tagged {
            if let Presence::When(_) = self.presence(field.versions.and(self.message.flexible)) {
                self.refuse_if_set(out, field);
            }
        }
        line!(out, "Ok(()) }}");
    }

    fn tag_is_written(&self, field: &Field) -> String {
        match self.presence(field.versions) {
            Presence::When(condition) => format!("({condition}) && {}", self.is_set(field)),
            _ => self.is_set(field),
        }
    }

    fn is_set(&self, field: &Field) -> String {
        let name = ident(&field.name);
        let default = self.default_value(field);
        match (&field.kind, self.is_optional(field), default.as_str()) {
            (Type::Bool, false, "false") => format!("self.{name}"),
            (Type::Bool, false, "true") => format!("!self.{name}"),
            (_, true, "None") => format!("self.{name}.is_some()"),
            (Type::Array(_), false, _) => format!("!self.{name}.is_empty()"),
            (Type::String, false, "String::new()" | "\"\"") => format!("!self.{name}.is_empty()"),
            _ => format!("self.{name} != {default}"),
        }
    }

    /// A value that a version cannot carry is an error, unless the field may be left out silently.
    fn refuse_if_set(&self, out: &mut String, field: &Field) {
        if field.ignorable {
            return;
        }
        let versions =
            if field.tag.is_some() { field.versions.and(self.message.flexible) } else { field.versions };
        if let Presence::When(condition) = self.presence(versions) {
            line!(
                out,
                "if !({condition}) && {} {{ return Err(EncodeError::unsupported({:?}, {:?}, version)); }}",
                self.is_set(field),
                self.message.name,
                field.name
            );
        }
    }

    fn write_field(&self, field: &Field) -> String {
        let name = format!("self.{}", ident(&field.name));
        let flexible = if field.never_flexible { "false" } else { "flexible" };
        let optional = self.is_optional(field);
        let nullable = match self.presence(field.nullable) {
            Presence::Always => "true".to_owned(),
            Presence::Never => "false".to_owned(),
            Presence::When(condition) => condition,
        };
        let field_name = format!("{:?}", field.name);
        if let Type::Struct(_) = &field.kind {
            if !optional {
                return format!("{name}.write_fields(w, version)?;");
            }
            let marker = |sign: &str| match nullable.as_str() {
                "true" => format!("w.i8({sign});"),
                condition => format!("if {condition} {{ w.i8({sign}); }}"),
            };
            return format!(
                "match &{name} {{ Some(value) => {{ {} value.write_fields(w, version)?; }} None => {{ allow_null({nullable}, {field_name}, version)?; {} }} }}",
                marker("1"),
                marker(if field.tag.is_some() { "0" } else { "-1" }),
            );
        }
        let value = |value: &str| match &field.kind {
            Type::String => format!("w.string(&{value}, {flexible})?;"),
            Type::Bytes => format!("w.bytes(&{value}, {flexible})?;"),
            Type::Records if self.borrowed => format!("w.records(&{value}, {flexible})?;"),
            Type::Records => format!("w.bytes(&{value}, {flexible})?;"),
            Type::Array(element) => format!(
                "w.array_length({value}.len(), {flexible})?; for element in {value}.iter() {{ {} }}",
                self.write_element(element)
            ),
            _ => unreachable!("scalars are not nullable"),
        };
        match &field.kind {
            Type::String | Type::Bytes | Type::Records | Type::Array(_) if optional => {
                let null = match &field.kind {
                    Type::String => format!("w.null_string({flexible});"),
                    _ => format!("w.null_bytes({flexible});"),
                };
                format!(
                    "match &{name} {{ Some(value) => {{ {} }} None => {{ allow_null({nullable}, {field_name}, version)?; {null} }} }}",
                    value("value")
                )
            }
            Type::String | Type::Bytes | Type::Records | Type::Array(_) => value(&name),
            scalar => format!("w.{}({name});", scalar_writer(scalar)),
        }
    }

    fn write_element(&self, kind: &Type) -> String {
        match kind {
            Type::Struct(_) => "element.write_fields(w, version)?;".to_owned(),
            Type::String => "w.string(element, flexible)?;".to_owned(),
            Type::Bytes => "w.bytes(element, flexible)?;".to_owned(),
            scalar => format!("w.{}(*element);", scalar_writer(scalar)),
        }
    }

    fn message_impl(&self, out: &mut String) {
        let message = self.message;
        let (name, valid) = (&message.name, message.versions);
        let lifetime = self.lifetime(name);
        let flexible = match message.flexible.and(valid) {
            versions if versions.is_empty() => "None".to_owned(),
            versions => format!("Some({})", versions.first),
        };
        line!(out, "impl<'a> Message<'a> for {name}{lifetime} {{");
        line!(out, "const NAME: &'static str = {name:?};");
        line!(out, "const VERSIONS: RangeInclusive<i16> = {}..={};", valid.first, valid.last);
        line!(out, "const FLEXIBLE: Option<i16> = {flexible};");
        line!(out, "fn read(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError> {{");
        line!(out, "check_version(Self::NAME, &Self::VERSIONS, version)?; Self::read_fields(r, version) }}");
        line!(out, "fn write(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {{");
        line!(out, "check_version(Self::NAME, &Self::VERSIONS, version)?; self.write_fields(w, version) }}");
        line!(out, "}}");
        match (message.kind, message.key) {
            (Kind::Request, Some(_)) => {
                let api = name.strip_suffix("Request").unwrap_or(name);
                let response = format!("{api}Response");
                let response_lifetime = if BORROWED.contains(&response.as_str()) { "<'a>" } else { "" };
                line!(out, "impl<'a> Request<'a> for {name}{lifetime} {{");
                line!(out, "const API_KEY: ApiKey = ApiKey::{api};");
                line!(out, "type Response = super::{response}{response_lifetime}; }}");
            }
            (Kind::Metadata | Kind::CoordinatorKey | Kind::CoordinatorValue, Some(key)) => {
                line!(out, "impl Record for {name} {{ const API_KEY: i16 = {key}; }}");
            }
            _ => {}
        }
    }
}

fn scalar_writer(kind: &Type) -> &'static str {
    match kind {
        Type::Bool => "bool",
        Type::Int8 => "i8",
        Type::Int16 => "i16",
        Type::Uint16 => "u16",
        Type::Int32 => "i32",
        Type::Uint32 => "u32",
        Type::Int64 => "i64",
        Type::Float64 => "f64",
        Type::Uuid => "uuid",
        other => panic!("{other:?} is no scalar"),
    }
}

fn api_keys(out: &mut String, messages: &[Message]) {
    let requests: Vec<&Message> = messages.iter().filter(|message| message.kind == Kind::Request).collect();
    line!(out, "/// The APIs of Kafka's wire, by the key that a request's header carries.");
    line!(out, "#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)] #[repr(i16)]");
    line!(out, "pub enum ApiKey {{");
    let api = |message: &Message| message.name.strip_suffix("Request").unwrap_or(&message.name).to_owned();
    for message in &requests {
        line!(out, "{} = {},", api(message), message.key.expect("a request has a key"));
    }
    line!(out, "}}");
    line!(out, "pub(crate) static APIS: [ApiInfo; {}] = [", requests.len());
    for message in &requests {
        let has = |listener: &str| message.listeners.iter().any(|name| name == listener);
        let flexible = message.flexible.and(message.versions);
        line!(
            out,
            "ApiInfo {{ key: ApiKey::{}, name: {:?}, first: {}, last: {}, flexible_from: {}, latest_unstable: {}, broker: {}, controller: {} }},",
            api(message),
            api(message),
            message.versions.first,
            message.versions.last,
            if flexible.is_empty() { i16::MAX } else { flexible.first },
            message.latest_unstable,
            has("broker"),
            has("controller"),
        );
    }
    line!(out, "];");
}

fn metadata_records(out: &mut String, messages: &[Message], metadata: &[String]) {
    let records: Vec<&Message> = messages.iter().filter(|message| metadata.contains(&message.name)).collect();
    let variant = |message: &Message| message.name.strip_suffix("Record").unwrap_or(&message.name).to_owned();
    line!(out, "/// A record of the metadata log (`__cluster_metadata`).");
    line!(out, "#[derive(Debug, Clone, PartialEq)] pub enum MetadataRecord {{");
    for message in &records {
        line!(out, "{}({}),", variant(message), message.name);
    }
    line!(out, "}}");
    line!(out, "impl MetadataRecord {{");
    line!(out, "/// The record's key in its frame.");
    line!(out, "pub fn api_key(&self) -> i16 {{ match self {{");
    for message in &records {
        line!(out, "Self::{}(_) => {},", variant(message), message.key.expect("a record has a key"));
    }
    line!(out, "}} }}");
    line!(out, "/// Kafka's name of the record.");
    line!(out, "pub fn name(&self) -> &'static str {{ match self {{");
    for message in &records {
        line!(out, "Self::{}(_) => {:?},", variant(message), message.name);
    }
    line!(out, "}} }}");
    line!(out, "/// The highest version that this release of Kafka writes.");
    line!(out, "pub fn highest_version(&self) -> i16 {{ match self {{");
    for message in &records {
        line!(out, "Self::{}(_) => {},", variant(message), message.versions.last);
    }
    line!(out, "}} }}");
    line!(
        out,
        "fn read_body(key: u32, r: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {{ match key {{"
    );
    for message in &records {
        let key = message.key.expect("a record has a key");
        line!(out, "{key} => {}::read(r, version).map(Self::{}),", message.name, variant(message));
    }
    line!(out, "_ => Err(DecodeError::UnknownRecord(key)), }} }}");
    line!(
        out,
        "fn write_body(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {{ match self {{"
    );
    for message in &records {
        line!(out, "Self::{}(record) => record.write(w, version),", variant(message));
    }
    line!(out, "}} }} }}");
    for message in &records {
        let name = &message.name;
        line!(
            out,
            "impl From<{name}> for MetadataRecord {{ fn from(record: {name}) -> Self {{ Self::{}(record) }} }}",
            variant(message)
        );
    }
}

fn round_trip(out: &mut String, messages: &[Message]) {
    line!(
        out,
        "/// Reads a message by its name, writes it again and returns the bytes: for tests and fuzzing."
    );
    line!(
        out,
        "#[doc(hidden)] pub fn round_trip(name: &str, version: i16, bytes: &[u8]) -> Option<Result<Vec<u8>, String>> {{"
    );
    line!(out, "Some(match name {{");
    for message in messages {
        line!(out, "{:?} => prelude::round_trip::<{}>(version, bytes),", message.name, message.name);
    }
    line!(out, "_ => return None, }}) }}");
    line!(out, "/// The names and versions of all messages.");
    line!(out, "#[doc(hidden)] pub const ALL: &[(&str, i16, i16)] = &[");
    for message in messages {
        line!(out, "({:?}, {}, {}),", message.name, message.versions.first, message.versions.last);
    }
    line!(out, "];");
}

/// `KRaftVersion` is `kraft_version`, `IsKRaftController` is `is_kraft_controller`, `LastKnownELR` is `last_known_elr`.
fn snake(name: &str) -> String {
    let name = name.replace("KRaft", "Kraft");
    let characters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (index, character) in characters.iter().enumerate() {
        let starts_word = character.is_uppercase()
            && index > 0
            && (!characters[index - 1].is_uppercase()
                || characters.get(index + 1).is_some_and(|next| next.is_lowercase()));
        if starts_word {
            out.push('_');
        }
        out.extend(character.to_lowercase());
    }
    out
}

fn ident(name: &str) -> String {
    match snake(name).as_str() {
        keyword @ ("type" | "match" | "ref" | "self" | "move" | "in" | "box" | "where" | "use" | "as") => {
            format!("{keyword}_")
        }
        name => name.to_owned(),
    }
}
