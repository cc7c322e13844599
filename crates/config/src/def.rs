//! The notation of the key tables: one [`ConfigKey`] per configuration key, built by `const` functions
//! (Kafka's `ConfigDef.ConfigKey`).

use crate::validator::Validator;

/// The type of a key's value (`ConfigDef.Type`); the discriminant is the code in `DescribeConfigsResponse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// A 32-bit integer.
    Int = 3,
    /// A 16-bit integer.
    Short = 4,
    /// A 64-bit integer.
    Long = 5,
    /// A 64-bit floating point number.
    Double = 6,
    /// Texts separated by commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
    /// A text that is never shown.
    Password = 9,
}

impl ConfigType {
    /// The code in `DescribeConfigsResponse` (0 is unknown).
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// Kafka's name, as in `Not a number of type INT`.
    pub const fn name(self) -> &'static str {
        match self {
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Short => "SHORT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
            ConfigType::Class => "CLASS",
            ConfigType::Password => "PASSWORD",
        }
    }
}

/// How much a key matters to most people (`ConfigDef.Importance`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Importance {
    High,
    Medium,
    Low,
}

impl Importance {
    /// Kafka's name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Importance::High => "high",
            Importance::Medium => "medium",
            Importance::Low => "low",
        }
    }
}

/// When a broker key can change (`DynamicBrokerConfig.dynamicConfigUpdateModes`, KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// With a restart only.
    ReadOnly,
    /// At runtime, for one broker or for all.
    ClusterWide,
    /// At runtime, for one broker only.
    PerBroker,
}

impl UpdateMode {
    /// Kafka's name in its documentation.
    pub const fn name(self) -> &'static str {
        match self {
            UpdateMode::ReadOnly => "read-only",
            UpdateMode::ClusterWide => "cluster-wide",
            UpdateMode::PerBroker => "per-broker",
        }
    }
}

/// The value a key has when nobody says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// None: the key must be given.
    Required,
    /// Java's `null`: unset.
    Null,
    /// This text, parsed as a given one is.
    Value(&'static str),
}

/// Whether milena does now what the key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    Yes,
    /// It does not, for this reason; a file that sets it gets a warning.
    None(&'static str),
}

/// One configuration key.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// The name in `server.properties` or on the wire.
    pub name: &'static str,
    /// The value's type.
    pub config_type: ConfigType,
    /// The value when unset.
    pub default: Default,
    /// What a parsed value must satisfy.
    pub validator: Validator,
    /// How much it matters.
    pub importance: Importance,
    /// When it can change. Topic, group and client-metrics keys are always dynamic and leave this at `ReadOnly`.
    pub update_mode: UpdateMode,
    /// Kafka hides the key from its documentation and from `DescribeConfigs`, unless it was set.
    pub internal: bool,
    /// Whether milena acts on it.
    pub effect: Effect,
    /// What it does, in one or two sentences.
    pub doc: &'static str,
}

impl ConfigKey {
    const fn new(name: &'static str, config_type: ConfigType) -> ConfigKey {
        ConfigKey {
            name,
            config_type,
            default: Default::Required,
            validator: Validator::Any,
            importance: Importance::Medium,
            update_mode: UpdateMode::ReadOnly,
            internal: false,
            effect: Effect::Yes,
            doc: "",
        }
    }

    /// Whether the value must never be shown.
    pub const fn is_sensitive(&self) -> bool {
        matches!(self.config_type, ConfigType::Password)
    }

    pub(crate) const fn or(mut self, default: &'static str) -> ConfigKey {
        self.default = Default::Value(default);
        self
    }

    pub(crate) const fn or_null(mut self) -> ConfigKey {
        self.default = Default::Null;
        self
    }

    pub(crate) const fn valid(mut self, validator: Validator) -> ConfigKey {
        self.validator = validator;
        self
    }

    pub(crate) const fn at_least(self, min: i64) -> ConfigKey {
        self.valid(Validator::AtLeast(min))
    }

    pub(crate) const fn between(self, min: i64, max: i64) -> ConfigKey {
        self.valid(Validator::Between(min, max))
    }

    pub(crate) const fn one_of(self, values: &'static [&'static str]) -> ConfigKey {
        self.valid(Validator::OneOf(values))
    }

    pub(crate) const fn high(mut self) -> ConfigKey {
        self.importance = Importance::High;
        self
    }

    pub(crate) const fn low(mut self) -> ConfigKey {
        self.importance = Importance::Low;
        self
    }

    pub(crate) const fn cluster_wide(mut self) -> ConfigKey {
        self.update_mode = UpdateMode::ClusterWide;
        self
    }

    pub(crate) const fn per_broker(mut self) -> ConfigKey {
        self.update_mode = UpdateMode::PerBroker;
        self
    }

    pub(crate) const fn internal(mut self) -> ConfigKey {
        self.internal = true;
        self
    }

    pub(crate) const fn no_effect(mut self, reason: &'static str) -> ConfigKey {
        self.effect = Effect::None(reason);
        self
    }

    pub(crate) const fn doc(mut self, doc: &'static str) -> ConfigKey {
        self.doc = doc;
        self
    }
}

pub(crate) const fn boolean(name: &'static str) -> ConfigKey {
    ConfigKey::new(name, ConfigType::Boolean)
}

pub(crate) const fn string(name: &'static str) -> ConfigKey {
    ConfigKey::new(name, ConfigType::String)
}

pub(crate) const fn int(name: &'static str) -> ConfigKey {
    ConfigKey::new(name, ConfigType::Int)
}

pub(crate) const fn short(name: &'static str) -> ConfigKey {
    ConfigKey::new(name, ConfigType::Short)
}

pub(crate) const fn long(name: &'static str) -> ConfigKey {
    ConfigKey::new(name, ConfigType::Long)
}

pub(crate) const fn double(name: &'static str) -> ConfigKey {
    ConfigKey::new(name, ConfigType::Double)
}

pub(crate) const fn list(name: &'static str) -> ConfigKey {
    ConfigKey::new(name, ConfigType::List)
}

pub(crate) const fn class(name: &'static str) -> ConfigKey {
    ConfigKey::new(name, ConfigType::Class)
}

pub(crate) const fn password(name: &'static str) -> ConfigKey {
    ConfigKey::new(name, ConfigType::Password)
}
