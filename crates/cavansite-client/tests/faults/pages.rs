//! Lists that lead astray.

use cavansite_client::{ErrorKind, ListBySkipOptions, ListByTimeOptions, Request};
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::mock::{ENDPOINT, Mock, Reply, header};

const ITEM: &str = r#"{"id":"19:x@thread.v2","topic":"t"}"#;

fn page(items: &str, link: &str) -> Reply {
    let body = format!(r#"{{"value":[{items}],"nextLink":"{link}"}}"#);
    Reply::With(200, ("x-mock", "yes".to_owned()), body)
}

#[tokio::test]
async fn a_link_to_another_origin_is_refused_before_anything_is_sent_there() {
    for link in [
        "https://elsewhere.example.com/chat/threads",
        "http://chat.example.com/chat/threads",
        "https://chat.example.com:444/chat/threads",
        "https://chat.example.com.elsewhere.example/chat/threads",
        "https://user@chat.example.com/chat/threads",
        "https://user:password@chat.example.com/chat/threads",
        "//elsewhere.example.com/chat/threads",
        "\\\\\\\\elsewhere.example.com/chat/threads",
        "javascript:alert(1)",
        "https://",
    ] {
        let mock = Mock::new(move |_, _| page(ITEM, link));
        let error = mock.chat().list_threads(None).unwrap().into_pages();
        let error = error.map(|page| page.map(|_| ())).collect::<Vec<_>>().await;
        assert_eq!(error.len(), 1, "{link}: the list ends with the error");
        let error = error.into_iter().next().unwrap().unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::DataConversion, "{link}");
        let to_whom = |request: &Request| request.url.host_str().map(str::to_owned);
        assert_eq!(mock.count(), 1, "{link}");
        assert_eq!(
            to_whom(&mock.requests()[0]).as_deref(),
            Some("chat.example.com")
        );
    }
}

#[tokio::test]
async fn links_are_followed_as_they_are_and_get_the_version_where_they_have_none() {
    let links = [
        "/chat/threads?syncState=a%2Fb&api-version=2024-03-07",
        "?skip=2",
        "https://chat.example.com:443/chat/threads?x=1/1/1970%2012:00:00",
        "",
    ];
    let mock = Mock::new(move |_, before| page(ITEM, links[before]));
    let all: Vec<_> = mock
        .chat()
        .list_threads(None)
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(all.len(), 4);
    let asked: Vec<_> = mock
        .requests()
        .iter()
        .map(|request| request.url.to_string())
        .collect();
    let expected = [
        "?api-version=2025-03-15",
        "?syncState=a%2Fb&api-version=2024-03-07",
        "?skip=2&api-version=2025-03-15",
        "?x=1/1/1970%2012:00:00&api-version=2025-03-15",
    ];
    assert_eq!(
        asked,
        expected.map(|query| format!("{ENDPOINT}/chat/threads{query}"))
    );
    for request in mock.requests() {
        assert!(
            header(&request, "authorization")
                .unwrap()
                .starts_with("Bearer ")
        );
    }
}

#[tokio::test]
async fn pages_that_lead_in_a_circle_end_in_an_error() {
    for length in [1, 2, 7] {
        let mock = Mock::new(move |_, before| {
            page(
                ITEM,
                &format!(
                    "{ENDPOINT}/chat/threads?api-version=x&at={}",
                    before % length
                ),
            )
        });
        let mut list = mock.chat().list_threads(None).unwrap();
        let error = loop {
            if let Err(error) = list.try_next().await {
                break error;
            }
        };
        assert_eq!(error.kind(), &ErrorKind::DataConversion);
        assert!(
            mock.count() <= 4 * length + 2,
            "{} for {length}",
            mock.count()
        );
        assert!(list.try_next().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn pages_without_items_do_not_go_on_for_ever() {
    let mock = Mock::new(|_, before| page("", &format!("/chat/threads?at={before}")));
    let error = mock
        .chat()
        .list_threads(None)
        .unwrap()
        .try_next()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::DataConversion);
    assert_eq!(mock.count(), 100);
}

#[tokio::test]
async fn an_endless_list_is_given_out_as_it_comes_and_no_further() {
    let mock = Mock::new(|_, before| page(ITEM, &format!("/chat/threads?at={before}")));
    let list = mock.chat().list_threads(None).unwrap();
    let some: Vec<_> = list.take(1_000).try_collect().await.unwrap();
    assert_eq!((some.len(), mock.count()), (1_000, 1_000));
}

#[tokio::test]
async fn a_page_that_is_none_is_an_error_and_no_empty_list() {
    for body in [
        "{}",
        r#"{"value":null}"#,
        r#"{"value":[{}]}"#,
        "[]",
        r#"{"value":[],"nextLink":7}"#,
    ] {
        let mock = Mock::new(move |_, _| Reply::Json(200, body));
        let error = mock
            .chat()
            .list_threads(None)
            .unwrap()
            .try_next()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::DataConversion, "{body}");
    }
    let mock = Mock::new(|_, _| Reply::Json(200, r#"{"value":[],"nextLink":null}"#));
    assert!(
        mock.chat()
            .list_threads(None)
            .unwrap()
            .try_next()
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_list_that_broke_off_goes_on_where_it_was() {
    let mock = Mock::new(|_, before| match before {
        0 => page(&format!("{ITEM},{ITEM}"), "/chat/threads?at=1"),
        1 => Reply::Json(403, "{}"),
        _ => page(ITEM, ""),
    });
    let chat = mock.chat();
    let mut list = chat.list_threads(None).unwrap();
    list.try_next().await.unwrap();
    let first = list.continuation().unwrap();
    assert_eq!(
        first,
        format!("{ENDPOINT}/chat/threads?api-version=2025-03-15")
    );
    list.try_next().await.unwrap();
    let second = list.continuation().unwrap();
    assert!(second.contains("at=1"), "{second}");
    assert_eq!(list.try_next().await.unwrap_err().status(), Some(403));
    assert_eq!(list.continuation(), Some(second.clone()));

    let rest = ListByTimeOptions::default().with_continuation(second.clone());
    let mut rest = chat.list_threads(Some(rest)).unwrap();
    assert!(rest.try_next().await.unwrap().is_some());
    assert!(rest.try_next().await.unwrap().is_none());
    assert_eq!(rest.continuation(), None);
    assert_eq!(mock.requests()[2].url.as_str(), second);
}

#[tokio::test]
async fn a_place_of_another_origin_is_refused_before_anything_is_sent() {
    let mock = Mock::new(|_, _| page(ITEM, ""));
    for place in [
        "https://elsewhere.example.com/",
        "http://chat.example.com/",
        "::",
    ] {
        let options = ListBySkipOptions::default().with_continuation(place);
        let refused = mock.thread().list_participants(Some(options));
        let Err(error) = refused else {
            // A relative one is a place here.
            assert_eq!(place, "::");
            continue;
        };
        assert_eq!(error.kind(), &ErrorKind::InvalidInput);
    }
    assert_eq!(mock.count(), 0);
}
