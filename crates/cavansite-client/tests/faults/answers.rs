//! Answers that are not what they should be.

use cavansite_client::models::{ChatMessageType, CommunicationIdentifier};
use cavansite_client::{Error, ErrorCode, ErrorKind};

use crate::mock::{Mock, Reply};

/// What reading a message gives when the server answers 200 with that body.
async fn message(body: &'static str) -> Result<cavansite_client::models::ChatMessage, Error> {
    let mock = Mock::new(move |_, _| Reply::Json(200, body));
    let answer = mock.thread().get_message("1", None).await;
    assert_eq!(mock.count(), 1, "nonsense is not asked for again");
    answer.map(cavansite_client::Response::into_model)
}

#[tokio::test]
async fn garbage_truncated_json_and_other_shapes_are_data_errors() {
    let nested = "[".repeat(100_000);
    let nested: &'static str = Box::leak(nested.into_boxed_str());
    for body in [
        "",
        "\u{0}\u{1}garbage",
        r#"{"id":"1","type":"te"#,
        "null",
        "[]",
        "{}",
        r#"{"id":1,"type":"text","sequenceId":"1","version":"1","createdOn":"2020-11-11T00:38:38Z"}"#,
        r#"{"id":"1","type":"text","sequenceId":"1","version":"1","createdOn":"yesterday"}"#,
        nested,
    ] {
        let error = message(body).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::DataConversion, "{body:.40}");
        assert!(error.request_id().is_some());
    }
}

#[tokio::test]
async fn an_error_says_where_an_answer_goes_wrong_and_not_what_it_held() {
    for body in [
        r#"{"id":"1","content":"hunter2"}"#,
        r#"{"id":"1","createdOn":"hunter2"}"#,
        r#"{"id":"1","type":["hunter2"]}"#,
    ] {
        let error = message(body).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("line 1 column"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn what_is_new_null_or_missing_in_an_answer_does_no_harm() {
    let read = message(
        r#"{"id":"1","type":"poll","sequenceId":"1","version":"1","content":null,"metadata":null,
            "createdOn":"2020-11-11T01:38:38.1234567+01:00","editedOn":null,"votes":[{"x":1}],
            "senderCommunicationIdentifier":{"kind":"ghost","rawId":"99:x","ghost":{"id":"x"}}}"#,
    );
    let read = read.await.unwrap();
    assert_eq!(
        read.message_type,
        ChatMessageType::UnknownValue("poll".to_owned())
    );
    assert_eq!(read.created_on.as_second(), 1_605_055_118);
    assert_eq!(read.content.message, None);
    let Some(CommunicationIdentifier::Unknown(somebody)) = read.sender else {
        panic!("{:?}", read.sender)
    };
    assert_eq!(somebody.id, "99:x");
}

#[tokio::test]
async fn people_of_every_kind_are_read_and_written_back() {
    for body in [
        r#"{"rawId":"8:acs:r_u","communicationUser":{"id":"8:acs:r_u"}}"#,
        r#"{"rawId":"4:+112","phoneNumber":{"value":"+112"}}"#,
        r#"{"rawId":"8:orgid:x","microsoftTeamsUser":{"userId":"x","isAnonymous":false,"cloud":"dod"}}"#,
        r#"{"rawId":"28:orgid:x","microsoftTeamsApp":{"appId":"x","cloud":"elsewhere"}}"#,
        r#"{"rawId":"99:x"}"#,
    ] {
        let somebody: CommunicationIdentifier = serde_json::from_str(body).unwrap();
        assert_eq!(serde_json::to_string(&somebody).unwrap(), body);
        assert!(body.contains(somebody.raw_id()));
        let is_user = somebody.as_communication_user().is_some();
        assert_eq!(is_user, body.contains("communicationUser"));
    }
}

#[tokio::test]
async fn another_content_type_is_a_data_error_and_none_is_taken_for_json() {
    for (kind, is_taken) in [
        ("text/html", false),
        ("application/jsonp", false),
        ("", false),
        ("APPLICATION/JSON;charset=utf-8", true),
        ("application/problem+json", true),
    ] {
        let mock = Mock::new(move |_, _| {
            let body = r#"{"id":"1"}"#.to_owned();
            Reply::With(201, ("content-type", kind.to_owned()), body)
        });
        let answer = mock.thread().send_message("hello", None).await;
        match answer {
            Ok(sent) => assert!(is_taken && sent.model().id == "1", "{kind}"),
            Err(error) => {
                assert!(!is_taken, "{kind}: {error}");
                assert_eq!(error.kind(), &ErrorKind::DataConversion);
            }
        }
    }
}

#[tokio::test]
async fn a_redirect_is_an_error_and_nobody_else_is_asked() {
    for status in [301, 302, 303, 307, 308] {
        let mock = Mock::new(move |_, _| {
            let elsewhere = "https://elsewhere.example.com/".to_owned();
            Reply::With(status, ("location", elsewhere), String::new())
        });
        let error = mock.thread().get_message("1", None).await.unwrap_err();
        assert_eq!(error.status(), Some(status));
        assert_eq!(mock.count(), 1);
        assert!(error.to_string().contains("not followed"), "{error}");
    }
}

#[tokio::test]
async fn error_bodies_are_read_in_every_shape() {
    for body in [
        r#"{"error":{"code":"Forbidden","message":"No.","target":"x","innererror":{}}}"#,
        r#"{"code":"Forbidden","message":"No."}"#,
        r#"{"CommunicationError":{"Code":"Forbidden","Message":"No.","Details":[]}}"#,
        r#"{"Error":{"Code":"Forbidden","Message":"No.","Details":[]}}"#,
        "{\r\n  \"Code\": \"Forbidden\",\r\n  \"Message\": \"No.\"\r\n}",
    ] {
        let mock = Mock::new(move |_, _| Reply::Json(403, body));
        let error = mock.thread().get_message("1", None).await.unwrap_err();
        assert_eq!(error.error_code(), Some(&ErrorCode::Forbidden), "{body}");
        let text = error.to_string();
        assert!(
            text.starts_with("403 Forbidden: Forbidden: No. (request "),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_error_without_a_body_that_makes_sense_keeps_its_status() {
    for body in [
        "",
        "<html>",
        "[1]",
        "{}",
        r#"{"error":"no"}"#,
        r#"{"error":{"code":7}}"#,
        "{",
    ] {
        let mock = Mock::new(move |_, _| Reply::Json(404, body));
        let error = mock.thread().get_message("1", None).await.unwrap_err();
        assert_eq!(
            (error.status(), error.error_code()),
            (Some(404), None),
            "{body}"
        );
    }
    let mock = Mock::new(|_, _| Reply::Json(418, r#"{"code":"Teapot"}"#));
    let error = mock.thread().get_message("1", None).await.unwrap_err();
    let word = ErrorCode::UnknownValue("Teapot".to_owned());
    assert_eq!(error.error_code(), Some(&word));
}

#[tokio::test]
async fn what_a_server_says_in_an_error_is_cut_off() {
    let long = "ü".repeat(100_000);
    let body = format!(r#"{{"code":"{}","message":"{long}"}}"#, "c".repeat(100_000));
    for (body, most) in [
        (body, 0),
        (
            format!(r#"{{"code":"x","message":"{}"}}"#, &long[..20_000]),
            1_100,
        ),
    ] {
        let body: &'static str = Box::leak(body.into_boxed_str());
        let mock = Mock::new(move |_, _| Reply::Json(400, body));
        let error = mock.thread().get_message("1", None).await.unwrap_err();
        // A body above the bound is not looked at.
        assert!(
            error.to_string().len() < 100 + most,
            "{}",
            error.to_string().len()
        );
    }
}

#[tokio::test]
async fn an_answer_with_a_user_and_no_token_is_a_data_error_that_keeps_no_secret() {
    use cavansite_client::models::TokenScope;
    for body in [
        r#"{"identity":{"id":"8:acs:r_u"}}"#,
        r#"{"identity":{"id":"8:acs:r_u"},"accessToken":{"token":"hunter2","expiresOn":"hunter2"}}"#,
    ] {
        let mock = Mock::new(move |_, _| Reply::Json(201, body));
        let identity = mock.identity();
        let error = identity
            .create_user_and_token(&[TokenScope::Chat], None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::DataConversion);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
