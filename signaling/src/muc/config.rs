//! What owners of a room decide: the configuration form (XEP-0045 §10.1–10.2, client.md §5.7).

use xmpp::data_forms::{DataForm, Field, FormType, parse_boolean};
use xmpp::{Condition, StanzaError};

/// `FORM_TYPE` of the configuration form.
const FORM_KIND: &str = "http://jabber.org/protocol/muc#roomconfig";
/// Longest password, in bytes: as long as a SASL password may get.
const MAX_PASSWORD_BYTES: usize = 1024;
/// Longest meeting id, in bytes: a UUID has 36.
const MAX_MEETING_ID_BYTES: usize = 128;

const SECRET: &str = "muc#roomconfig_roomsecret";
const PASSWORD_PROTECTED: &str = "muc#roomconfig_passwordprotectedroom";
const MEMBERS_ONLY: &str = "muc#roomconfig_membersonly";
const CHANGE_SUBJECT: &str = "muc#roomconfig_changesubject";
const WHOIS: &str = "muc#roomconfig_whois";
const MAX_USERS: &str = "muc#roomconfig_maxusers";
const MEETING_ID: &str = "muc#roominfo_meetingId";

/// The configuration of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomConfig {
    /// What a join has to know.
    pub(crate) password: Option<String>,
    /// Whether only users with an affiliation may join.
    pub(crate) is_members_only: bool,
    /// Whether participants may set the subject.
    pub(crate) is_subject_open: bool,
    /// Participants that the room takes, instead of what the deployment takes; set by services.
    pub(crate) max_occupants: Option<usize>,
    /// The id of the meeting, for statistics and files.
    pub(crate) meeting_id: String,
}

impl RoomConfig {
    pub(crate) fn new(meeting_id: String) -> Self {
        Self { password: None, is_members_only: false, is_subject_open: false, max_occupants: None, meeting_id }
    }

    /// The form for an owner to fill in. Stock clients take a missing field for a missing feature.
    pub(crate) fn to_form(&self) -> DataForm {
        let flag = |is_set: bool| if is_set { "1" } else { "0" };
        DataForm::of_kind(FormType::Form, FORM_KIND)
            .with_field(
                Field::new(PASSWORD_PROTECTED, flag(self.password.is_some()))
                    .described("boolean", "Password required to enter"),
            )
            .with_field(
                Field::new(SECRET, self.password.as_deref().unwrap_or_default()).described("text-private", "Password"),
            )
            .with_field(
                Field::new(MEMBERS_ONLY, flag(self.is_members_only)).described("boolean", "Only members may enter"),
            )
            .with_field(
                Field::new(WHOIS, "anyone")
                    .described("list-single", "Who sees real addresses")
                    .with_options(["anyone"]),
            )
            .with_field(
                Field::new(CHANGE_SUBJECT, flag(self.is_subject_open))
                    .described("boolean", "Participants may set the subject"),
            )
            .with_field(Field::new(MEETING_ID, self.meeting_id.as_str()).described("text-single", "Meeting id"))
    }

    /// The configuration after a submitted form. What the form leaves out or what is unknown here stays as it is.
    pub(crate) fn submitted(&self, form: &DataForm, is_service: bool) -> Result<Self, StanzaError> {
        let wrong = |what: &str| StanzaError::new(Condition::NotAcceptable).with_text(what);
        if form.kind() != Some(FORM_KIND) {
            return Err(StanzaError::new(Condition::BadRequest).with_text("Form is not of the expected type"));
        }
        let flag = |var: &str| form.value(var).map(|value| parse_boolean(value).ok_or_else(|| wrong(var))).transpose();
        let mut config = self.clone();
        if let Some(secret) = form.value(SECRET) {
            if secret.len() > MAX_PASSWORD_BYTES {
                return Err(wrong(SECRET));
            }
            config.password = (!secret.is_empty()).then(|| secret.to_owned());
        }
        if flag(PASSWORD_PROTECTED)? == Some(false) {
            config.password = None;
        }
        if let Some(is_members_only) = flag(MEMBERS_ONLY)? {
            config.is_members_only = is_members_only;
        }
        if let Some(is_subject_open) = flag(CHANGE_SUBJECT)? {
            config.is_subject_open = is_subject_open;
        }
        // Everything in Jitsi that tells users apart needs their real addresses.
        if form.value(WHOIS).is_some_and(|whois| whois != "anyone") {
            return Err(wrong(WHOIS));
        }
        if let Some(max) = form.value(MAX_USERS).filter(|_| is_service) {
            // XEP-0045 §15.5.3: an empty value or "none" is no limit.
            config.max_occupants = match max {
                "" | "none" => None,
                number => Some(number.parse().map_err(|_| wrong(MAX_USERS))?),
            };
        }
        // muc_meeting_id: what clients send here is ignored, not refused, as their forms repeat it.
        if let Some(meeting_id) = form.value(MEETING_ID).filter(|_| is_service) {
            if meeting_id.is_empty() || meeting_id.len() > MAX_MEETING_ID_BYTES {
                return Err(wrong(MEETING_ID));
            }
            meeting_id.clone_into(&mut config.meeting_id);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submit(config: &RoomConfig, fields: &[(&str, &str)]) -> Result<RoomConfig, StanzaError> {
        let form = DataForm::of_kind(FormType::Submit, FORM_KIND);
        let form = fields.iter().fold(form, |form, (var, value)| form.with_field(Field::new(*var, *value)));
        config.submitted(&form, false)
    }

    #[test]
    fn a_partial_form_leaves_the_rest_alone() {
        let config = RoomConfig::new("id".to_owned());
        let locked = submit(&config, &[(SECRET, "pw"), (WHOIS, "anyone"), ("muc#roomconfig_other", "x")]).unwrap();
        assert_eq!(locked.password.as_deref(), Some("pw"));
        let members_only = submit(&locked, &[(MEMBERS_ONLY, "true")]).unwrap();
        assert_eq!((members_only.password.as_deref(), members_only.is_members_only), (Some("pw"), true));
    }

    #[test]
    fn a_password_is_removed_by_an_empty_secret_or_the_flag() {
        let locked = RoomConfig { password: Some("pw".to_owned()), ..RoomConfig::new("id".to_owned()) };
        assert_eq!(submit(&locked, &[(SECRET, "")]).unwrap().password, None);
        assert_eq!(submit(&locked, &[(PASSWORD_PROTECTED, "0")]).unwrap().password, None);
        assert_eq!(submit(&locked, &[(PASSWORD_PROTECTED, "1")]).unwrap().password.as_deref(), Some("pw"));
    }

    #[test]
    fn only_services_set_the_meeting_id() {
        let config = RoomConfig::new("id".to_owned());
        let form = DataForm::of_kind(FormType::Submit, FORM_KIND).with_field(Field::new(MEETING_ID, "other"));
        assert_eq!(config.submitted(&form, false).unwrap().meeting_id, "id");
        assert_eq!(config.submitted(&form, true).unwrap().meeting_id, "other");
    }

    #[test]
    fn wrong_values_and_other_forms_are_refused() {
        let config = RoomConfig::new("id".to_owned());
        assert!(submit(&config, &[(MEMBERS_ONLY, "perhaps")]).is_err());
        assert!(submit(&config, &[(WHOIS, "moderators")]).is_err());
        assert!(submit(&config, &[(SECRET, &"x".repeat(MAX_PASSWORD_BYTES + 1))]).is_err());
        assert!(config.submitted(&DataForm::of_kind(FormType::Submit, "other"), false).is_err());
    }
}
