//! Who somebody is: users of this service, and those of others that it can talk to.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text_enum::text_enum;

/// A user of the service, as the identity client creates them.
///
/// ```
/// use cavansite_client::models::CommunicationUserIdentifier;
///
/// let user = CommunicationUserIdentifier::new("8:acs:resource_user");
/// assert_eq!(user.id, "8:acs:resource_user");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CommunicationUserIdentifier {
    /// The id, such as `8:acs:<resource>_<user>`.
    pub id: String,
}

impl CommunicationUserIdentifier {
    /// The user of that id.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into() }
    }
}

/// A telephone number, in threads that a call brought about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PhoneNumberIdentifier {
    /// The number in the form of E.164.
    pub value: String,
    /// The id of this in all forms.
    pub raw_id: String,
}

text_enum! {
    /// Which cloud somebody's organisation is in.
    CommunicationCloudEnvironment {
        /// The public one.
        Public = "public",
        /// That of the United States' department of defense.
        Dod = "dod",
        /// That of the United States' government.
        Gcch = "gcch",
    }
}

/// A user of Microsoft Teams, in threads that are shared with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MicrosoftTeamsUserIdentifier {
    /// The id in Microsoft Entra.
    pub user_id: String,
    /// Whether they joined without an account.
    pub is_anonymous: bool,
    /// Their cloud; public when absent.
    pub cloud: Option<CommunicationCloudEnvironment>,
    /// The id of this in all forms.
    pub raw_id: String,
}

/// An app of Microsoft Teams (since 2024-03-07).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MicrosoftTeamsAppIdentifier {
    /// The id of the app.
    pub app_id: String,
    /// Its cloud; public when absent.
    pub cloud: Option<CommunicationCloudEnvironment>,
    /// The id of this in all forms.
    pub raw_id: String,
}

/// Somebody of a kind that this crate does not know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UnknownIdentifier {
    /// Their id.
    pub id: String,
}

/// Somebody who takes part in a thread, or did something in it.
///
/// ```
/// use cavansite_client::models::{CommunicationIdentifier, CommunicationUserIdentifier};
///
/// let somebody = CommunicationIdentifier::from(CommunicationUserIdentifier::new("8:acs:r_u"));
/// assert_eq!(somebody.raw_id(), "8:acs:r_u");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommunicationIdentifier {
    /// A user of the service.
    CommunicationUser(CommunicationUserIdentifier),
    /// A telephone number.
    PhoneNumber(PhoneNumberIdentifier),
    /// A user of Microsoft Teams.
    MicrosoftTeamsUser(MicrosoftTeamsUserIdentifier),
    /// An app of Microsoft Teams.
    MicrosoftTeamsApp(MicrosoftTeamsAppIdentifier),
    /// Anybody else.
    Unknown(UnknownIdentifier),
}

impl CommunicationIdentifier {
    /// The id that stands for this person in all forms, such as `8:acs:<resource>_<user>`.
    ///
    /// ```
    /// use cavansite_client::models::CommunicationIdentifier;
    ///
    /// let somebody = CommunicationIdentifier::from_raw_id("8:acs:resource_user");
    /// assert_eq!(somebody.raw_id(), "8:acs:resource_user");
    /// ```
    pub fn raw_id(&self) -> &str {
        match self {
            Self::CommunicationUser(user) => &user.id,
            Self::PhoneNumber(number) => &number.raw_id,
            Self::MicrosoftTeamsUser(user) => &user.raw_id,
            Self::MicrosoftTeamsApp(app) => &app.raw_id,
            Self::Unknown(somebody) => &somebody.id,
        }
    }

    /// Whoever that raw id stands for, by the prefixes that the service documents. An id of no such
    /// kind is [`CommunicationIdentifier::Unknown`].
    ///
    /// ```
    /// use cavansite_client::models::CommunicationIdentifier;
    ///
    /// let somebody = CommunicationIdentifier::from_raw_id("4:+112345556789");
    /// let CommunicationIdentifier::PhoneNumber(number) = somebody else {
    ///     panic!("this is one");
    /// };
    /// assert_eq!(number.value, "+112345556789");
    /// ```
    pub fn from_raw_id(raw_id: impl Into<String>) -> Self {
        let raw_id = raw_id.into();
        let after = |prefix| raw_id.strip_prefix(prefix).map(str::to_owned);
        let teams_user = |user_id, is_anonymous, cloud| {
            Self::MicrosoftTeamsUser(MicrosoftTeamsUserIdentifier {
                user_id,
                is_anonymous,
                cloud,
                raw_id: raw_id.clone(),
            })
        };
        for (prefix, cloud) in [
            ("8:orgid:", CommunicationCloudEnvironment::Public),
            ("8:dod:", CommunicationCloudEnvironment::Dod),
            ("8:gcch:", CommunicationCloudEnvironment::Gcch),
        ] {
            if let Some(user_id) = after(prefix) {
                return teams_user(user_id, false, Some(cloud));
            }
        }
        if let Some(user_id) = after("8:teamsvisitor:") {
            return teams_user(user_id, true, None);
        }
        if let Some(value) = after("4:") {
            return Self::PhoneNumber(PhoneNumberIdentifier { value, raw_id });
        }
        let users = ["8:acs:", "8:gcch-acs:", "8:dod-acs:", "8:spool:"];
        if users.iter().any(|prefix| raw_id.starts_with(prefix)) {
            return Self::CommunicationUser(CommunicationUserIdentifier { id: raw_id });
        }
        Self::Unknown(UnknownIdentifier { id: raw_id })
    }

    /// The user of the service, if this is one.
    ///
    /// ```
    /// use cavansite_client::models::CommunicationIdentifier;
    ///
    /// let number = CommunicationIdentifier::from_raw_id("4:+15550100");
    /// assert!(number.as_communication_user().is_none());
    /// ```
    pub fn as_communication_user(&self) -> Option<&CommunicationUserIdentifier> {
        match self {
            Self::CommunicationUser(user) => Some(user),
            _ => None,
        }
    }
}

impl From<CommunicationUserIdentifier> for CommunicationIdentifier {
    fn from(user: CommunicationUserIdentifier) -> Self {
        Self::CommunicationUser(user)
    }
}

impl From<&CommunicationUserIdentifier> for CommunicationIdentifier {
    fn from(user: &CommunicationUserIdentifier) -> Self {
        Self::CommunicationUser(user.clone())
    }
}

impl From<&CommunicationIdentifier> for CommunicationIdentifier {
    fn from(somebody: &CommunicationIdentifier) -> Self {
        somebody.clone()
    }
}

/// The form on the wire: the raw id, and one object that says of which kind it is.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    communication_user: Option<CommunicationUserIdentifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_number: Option<WirePhoneNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    microsoft_teams_user: Option<WireTeamsUser>,
    #[serde(skip_serializing_if = "Option::is_none")]
    microsoft_teams_app: Option<WireTeamsApp>,
}

#[derive(Serialize, Deserialize)]
struct WirePhoneNumber {
    value: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTeamsUser {
    user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_anonymous: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud: Option<CommunicationCloudEnvironment>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTeamsApp {
    app_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud: Option<CommunicationCloudEnvironment>,
}

impl Serialize for CommunicationIdentifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut wire = Wire {
            raw_id: Some(self.raw_id().to_owned()).filter(|id| !id.is_empty()),
            ..Wire::default()
        };
        match self.clone() {
            Self::CommunicationUser(user) => wire.communication_user = Some(user),
            Self::PhoneNumber(number) => {
                wire.phone_number = Some(WirePhoneNumber {
                    value: number.value,
                });
            }
            Self::MicrosoftTeamsUser(user) => {
                wire.microsoft_teams_user = Some(WireTeamsUser {
                    user_id: user.user_id,
                    is_anonymous: Some(user.is_anonymous),
                    cloud: user.cloud,
                });
            }
            Self::MicrosoftTeamsApp(app) => {
                wire.microsoft_teams_app = Some(WireTeamsApp {
                    app_id: app.app_id,
                    cloud: app.cloud,
                });
            }
            Self::Unknown(_) => {}
        }
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CommunicationIdentifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let raw_id = wire.raw_id.unwrap_or_default();
        Ok(if let Some(user) = wire.communication_user {
            Self::CommunicationUser(user)
        } else if let Some(number) = wire.phone_number {
            Self::PhoneNumber(PhoneNumberIdentifier {
                value: number.value,
                raw_id,
            })
        } else if let Some(user) = wire.microsoft_teams_user {
            Self::MicrosoftTeamsUser(MicrosoftTeamsUserIdentifier {
                user_id: user.user_id,
                is_anonymous: user.is_anonymous.unwrap_or_default(),
                cloud: user.cloud,
                raw_id,
            })
        } else if let Some(app) = wire.microsoft_teams_app {
            Self::MicrosoftTeamsApp(MicrosoftTeamsAppIdentifier {
                app_id: app.app_id,
                cloud: app.cloud,
                raw_id,
            })
        } else {
            Self::Unknown(UnknownIdentifier { id: raw_id })
        })
    }
}
