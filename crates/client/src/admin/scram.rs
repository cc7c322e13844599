//! SCRAM credentials of users (KIP-554).

use std::collections::BTreeMap;

use protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use protocol::messages::describe_user_scram_credentials_request::UserName;
use protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
};
use sha2::{Sha256, Sha512};

use super::Admin;
use crate::ClientError;

/// A SCRAM mechanism (`ScramMechanism`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScramMechanism {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl ScramMechanism {
    /// The least iterations that Kafka takes, for either of them.
    pub const MIN_ITERATIONS: u32 = 4096;

    /// The mechanism with this name.
    pub fn parse(name: &str) -> Option<ScramMechanism> {
        [ScramMechanism::Sha256, ScramMechanism::Sha512]
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            ScramMechanism::Sha256 => "SCRAM-SHA-256",
            ScramMechanism::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn code(self) -> i8 {
        match self {
            ScramMechanism::Sha256 => 1,
            ScramMechanism::Sha512 => 2,
        }
    }

    fn salted(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let password = password.as_bytes();
        match self {
            ScramMechanism::Sha256 => {
                pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec()
            }
            ScramMechanism::Sha512 => {
                pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations).to_vec()
            }
        }
    }
}

/// A change of a user's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScramCredentialAlteration {
    /// A new password.
    Upsert {
        /// For which mechanism.
        mechanism: ScramMechanism,
        /// How often the password is hashed.
        iterations: u32,
        /// The password. It does not leave this process: what it is hashed to does.
        password: String,
    },
    /// No credential any more.
    Delete(ScramMechanism),
}

impl Admin {
    /// The mechanisms, with their iterations, for which users have credentials; of all users, where none is named.
    ///
    /// # Errors
    /// If no broker answers, or it refuses. What is wrong with a user stands in its place.
    pub async fn describe_user_scram_credentials(
        &self,
        users: &[String],
    ) -> Result<BTreeMap<String, Result<Vec<(String, i32)>, ClientError>>, ClientError> {
        let named = || users.iter().map(|name| UserName { name: name.clone() }).collect();
        let request = DescribeUserScramCredentialsRequest { users: (!users.is_empty()).then(named) };
        let connection = self.any_connection().await?;
        let response: DescribeUserScramCredentialsResponse = connection.call(&request).await?;
        ClientError::check(response.error_code, response.error_message.as_deref())?;
        let described = response.results.into_iter().map(|result| {
            let checked = ClientError::check(result.error_code, result.error_message.as_deref());
            let infos = result.credential_infos.iter().map(|info| {
                let known = [ScramMechanism::Sha256, ScramMechanism::Sha512];
                let mechanism = known.into_iter().find(|mechanism| mechanism.code() == info.mechanism);
                (mechanism.map_or("UNKNOWN", ScramMechanism::name).to_owned(), info.iterations)
            });
            let infos = infos.collect();
            (result.user, checked.map(|()| infos))
        });
        Ok(described.collect())
    }

    /// Changes a user's credentials.
    ///
    /// # Errors
    /// If no broker answers, or the controller refuses.
    pub async fn alter_user_scram_credentials(
        &self,
        user: &str,
        alterations: &[ScramCredentialAlteration],
    ) -> Result<(), ClientError> {
        let mut request = AlterUserScramCredentialsRequest::default();
        for alteration in alterations {
            match alteration {
                ScramCredentialAlteration::Delete(mechanism) => request
                    .deletions
                    .push(ScramCredentialDeletion { name: user.to_owned(), mechanism: mechanism.code() }),
                ScramCredentialAlteration::Upsert { mechanism, iterations, password } => {
                    let salt = rand::random::<[u8; 32]>();
                    request.upsertions.push(ScramCredentialUpsertion {
                        name: user.to_owned(),
                        mechanism: mechanism.code(),
                        iterations: i32::try_from(*iterations).unwrap_or(i32::MAX),
                        salted_password: mechanism.salted(password, &salt, *iterations),
                        salt: salt.to_vec(),
                    });
                }
            }
        }
        let response: AlterUserScramCredentialsResponse = self.ask_controller(&request).await?;
        response
            .results
            .iter()
            .try_for_each(|result| ClientError::check(result.error_code, result.error_message.as_deref()))
    }
}
