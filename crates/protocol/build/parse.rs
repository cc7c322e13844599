//! Reads the compact notation (schema/README.md).

/// An inclusive range of versions; `last` is `i16::MAX` for an open one. Empty where `first > last`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Versions {
    pub first: i16,
    pub last: i16,
}

impl Versions {
    pub const NONE: Versions = Versions { first: 0, last: -1 };

    fn parse(text: &str) -> Versions {
        let number = |text: &str| text.parse::<i16>().unwrap_or_else(|_| panic!("'{text}' is no version"));
        if text == "none" {
            Versions::NONE
        } else if let Some(first) = text.strip_suffix('+') {
            Versions { first: number(first), last: i16::MAX }
        } else if let Some((first, last)) = text.split_once('-') {
            Versions { first: number(first), last: number(last) }
        } else {
            Versions { first: number(text), last: number(text) }
        }
    }

    pub fn is_empty(self) -> bool {
        self.first > self.last
    }

    pub fn and(self, other: Versions) -> Versions {
        Versions { first: self.first.max(other.first), last: self.last.min(other.last) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Request,
    Response,
    Header,
    Metadata,
    CoordinatorKey,
    CoordinatorValue,
    Data,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

impl Type {
    fn parse(text: &str) -> Type {
        match text {
            "bool" => Type::Bool,
            "int8" => Type::Int8,
            "int16" => Type::Int16,
            "uint16" => Type::Uint16,
            "int32" => Type::Int32,
            "uint32" => Type::Uint32,
            "int64" => Type::Int64,
            "float64" => Type::Float64,
            "uuid" => Type::Uuid,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "records" => Type::Records,
            _ => match text.strip_prefix("[]") {
                Some(element) => Type::Array(Box::new(Type::parse(element))),
                None => Type::Struct(text.to_owned()),
            },
        }
    }

    /// The struct at the bottom of this type.
    pub fn struct_name(&self) -> Option<&str> {
        match self {
            Type::Struct(name) => Some(name),
            Type::Array(element) => element.struct_name(),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub kind: Type,
    pub versions: Versions,
    pub nullable: Versions,
    pub default: Option<String>,
    pub ignorable: bool,
    pub tag: Option<u32>,
    /// Overrides the message's own flexibility: the client id of the request header keeps its old form.
    pub never_flexible: bool,
}

#[derive(Clone, Debug)]
pub struct Struct {
    pub name: String,
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub kind: Kind,
    pub key: Option<i16>,
    pub name: String,
    pub versions: Versions,
    pub flexible: Versions,
    pub listeners: Vec<String>,
    pub latest_unstable: bool,
    /// The message itself first, then the structs inside it.
    pub structs: Vec<Struct>,
}

/// All messages of one schema file. Panics with the line that is wrong: the files are ours.
pub fn parse(text: &str) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    // Indexes into the structs of the current message, one for each open brace.
    let mut open: Vec<usize> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [first, ..] if first.starts_with('#') => {}
            ["}"] => {
                open.pop().unwrap_or_else(|| panic!("a brace too many"));
            }
            _ if !line.starts_with(' ') => {
                messages.push(parse_message(&words));
                open = vec![0];
            }
            ["struct", name, _versions, "{"] => {
                let message = messages.last_mut().expect("a struct outside a message");
                open.push(message.structs.len());
                message.structs.push(Struct { name: (*name).to_owned(), fields: Vec::new() });
            }
            _ => {
                let message = messages.last_mut().expect("a field outside a message");
                let field = parse_field(&words);
                let inner = field.kind.struct_name().map(str::to_owned);
                let owner = *open.last().unwrap_or_else(|| panic!("'{line}' is outside"));
                message.structs[owner].fields.push(field);
                if words.last() == Some(&"{") {
                    open.push(message.structs.len());
                    let name = inner.unwrap_or_else(|| panic!("'{line}' has fields and is no struct"));
                    message.structs.push(Struct { name, fields: Vec::new() });
                }
            }
        }
    }
    messages
}

fn parse_message(words: &[&str]) -> Message {
    let kind = match words[0] {
        "request" => Kind::Request,
        "response" => Kind::Response,
        "header" => Kind::Header,
        "metadata" => Kind::Metadata,
        "coordinator-key" => Kind::CoordinatorKey,
        "coordinator-value" => Kind::CoordinatorValue,
        "data" => Kind::Data,
        other => panic!("'{other}' is no kind of message"),
    };
    let (key, rest) = match words[1].parse() {
        Ok(key) => (Some(key), &words[2..]),
        Err(_) => (None, &words[1..]),
    };
    let mut message = Message {
        kind,
        key,
        name: rest[0].to_owned(),
        versions: Versions::parse(rest[1]),
        flexible: Versions::NONE,
        listeners: Vec::new(),
        latest_unstable: false,
        structs: vec![Struct { name: rest[0].to_owned(), fields: Vec::new() }],
    };
    let mut attributes = rest[2..].iter();
    while let Some(attribute) = attributes.next() {
        let mut value = || *attributes.next().unwrap_or_else(|| panic!("{attribute} needs a value"));
        match *attribute {
            "flexible" => message.flexible = Versions::parse(value()),
            "listeners" => message.listeners = value().split(',').map(str::to_owned).collect(),
            "latest-unstable" => message.latest_unstable = true,
            other => panic!("'{other}' is no attribute of a message"),
        }
    }
    message
}

fn parse_field(words: &[&str]) -> Field {
    let mut field = Field {
        name: words[0].to_owned(),
        kind: Type::parse(words[1]),
        versions: Versions::parse(words[2]),
        nullable: Versions::NONE,
        default: None,
        ignorable: false,
        tag: None,
        never_flexible: false,
    };
    let mut attributes = words[3..].iter();
    while let Some(attribute) = attributes.next() {
        let mut value = || *attributes.next().unwrap_or_else(|| panic!("{attribute} needs a value"));
        match *attribute {
            "nullable" => field.nullable = Versions::parse(value()),
            "default" => field.default = Some(value().to_owned()),
            "ignorable" => field.ignorable = true,
            "tag" => {
                field.tag = Some(value().parse().expect("a tag is a number"));
                // A tag's versions never differ from the field's in Kafka's definitions; checked, not assumed.
                let tagged = Versions::parse(value());
                assert_eq!(tagged, field.versions, "{} is tagged in some of its versions only", field.name);
            }
            "flexible" => field.never_flexible = value() == "none",
            "{" => {}
            other => panic!("'{other}' is no attribute of a field"),
        }
    }
    field
}
