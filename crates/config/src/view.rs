//! The parsed values of one resource by key, and the macro that makes typed structs of them.

use std::collections::BTreeMap;

use crate::def::{ConfigKey, Default};
use crate::error::ConfigError;
use crate::keys::KeyTable;
use crate::validator::Validator;
use crate::value::Value;

/// The value of every key of a table.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Values(BTreeMap<&'static str, Value>);

impl Values {
    /// Parses and validates `texts` for all keys of `table`; what is not given has its default.
    ///
    /// A key without default that is not given becomes `Value::Null`: whoever needs it checks that.
    pub(crate) fn resolve(table: &KeyTable, texts: &BTreeMap<String, String>) -> Result<Values, ConfigError> {
        table
            .iter()
            .map(|(name, key)| Ok((*name, value_of(key, texts.get(*name).map(String::as_str))?)))
            .collect::<Result<_, _>>()
            .map(Values)
    }

    /// The value of a key, `Null` for one that the table does not have.
    pub fn value(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// All values in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    pub(crate) fn set(&mut self, name: &'static str, value: Value) {
        self.0.insert(name, value);
    }

    /// A value as the type its table says.
    ///
    /// Invariant: callers name a key of the table with its own type, so a failure here is a mistake in this crate.
    pub fn get<T: FromValue>(&self, name: &str) -> T {
        T::from_value(self.value(name)).unwrap_or_else(|| panic!("{name} is not of the type asked for"))
    }
}

/// Parses one key's text, or its default, and validates it.
pub(crate) fn value_of(key: &ConfigKey, text: Option<&str>) -> Result<Value, ConfigError> {
    let (text, given) = match (text, key.default) {
        (Some(text), _) => (text, true),
        (None, Default::Value(text)) => (text, false),
        (None, Default::Null | Default::Required) => return Ok(Value::Null),
    };
    let mut value = Value::parse(key.name, text, key.config_type)?;
    if let (Value::List(elements), Validator::List { .. }) = (&mut value, key.validator) {
        let mut kept: Vec<String> = Vec::with_capacity(elements.len());
        for element in elements.drain(..) {
            if !kept.contains(&element) {
                kept.push(element);
            }
        }
        *elements = kept;
    }
    if given {
        key.validator.ensure_valid(key.name, &value)?;
    }
    Ok(value)
}

/// A Rust type that a value can be read as.
pub trait FromValue: Sized {
    /// The value, or none if it is of another type.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty: $pattern:pat => $result:expr),* $(,)?) => {
        $(impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $pattern => Some($result),
                    _ => None,
                }
            }
        })*
    };
}

from_value! {
    bool: Value::Boolean(value) => *value,
    i32: Value::Int(value) => *value,
    i16: Value::Short(value) => *value,
    i64: Value::Long(value) => *value,
    f64: Value::Double(value) => *value,
    String: Value::String(value) | Value::Class(value) => value.clone(),
    Vec<String>: Value::List(value) => value.clone(),
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}

/// A struct with one typed field per key.
macro_rules! view {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty = $key:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(#[doc = concat!("`", $key, "`")] pub $field: $type,)*
        }

        impl $name {
            pub(crate) fn from_values(values: &$crate::view::Values) -> $name {
                $name { $($field: values.get($key),)* }
            }
        }
    };
}
pub(crate) use view;
