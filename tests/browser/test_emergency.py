"""An emergency in a real Chromium: a rule from typing to its own end, with the clock moved; undo; on-call; axe."""

import re

from playwright.sync_api import expect
from tests.browser.conftest import Opener

from koban.base import HOUR, MINUTE


def test_an_emergency_rule_from_typing_to_its_own_end(open_reader: Opener) -> None:
    reader = open_reader("ja").sign_in("specialist")
    page, scene = reader.page, reader.site.scene
    scene.message("wave-1", "zzwave この番号に連絡して")
    scene.message("wave-2", "zzwave 友だち追加して")
    reader.go("/emergency")
    page.get_by_role("link", name="緊急ルールを書く").click()
    page.check("input[name='on.message.sent']")
    page.fill("#when", "txet ILIKE '%zzwave%'")
    page.fill("#name", "browser_wave")
    page.click("button[value='preview']")
    expect(page.get_by_role("alert")).to_contain_text("condition:1:1")
    reader.complaints.clear()  # the browser notes the 422 that was wanted
    page.fill("#when", "text ILIKE '%zzwave%'")
    page.click("button[value='preview']")
    expect(page.locator("#preview")).to_contain_text("wave-2")
    expect(page.locator("#preview .consequence strong").first).to_have_text("2")
    page.fill("#reason", "20時50分から急増")
    page.click("button[value='start']")
    page.wait_for_url("**/emergency?done=emergency_started")
    expect(page.get_by_role("status")).to_have_text("次のイベントから適用されます。運用責任者を呼び出しました。")
    expect(page.locator("main")).to_contain_text("emergency.browser_wave")

    assert scene.message("wave-3", "zzwave また連絡して").verdict == "block"
    reader.go("/emergency")
    page.get_by_role("link", name="措置の一覧").first.click()
    expect(page.locator("tbody tr")).to_have_count(2)  # the hidden message, and the verdict
    page.locator("tbody input[type=checkbox]").first.check()
    page.locator("form[method=post] #reason").fill("巻き込み")
    page.click("button[value='chosen']")
    page.wait_for_url(re.compile("done=undone"))
    expect(page.locator("tbody")).to_contain_text("取り消し済み")

    scene.clock.advance(HOUR + MINUTE)
    assert scene.message("wave-4", "zzwave 一時間後").verdict == "allow"
    reader = open_reader("ja").sign_in("specialist")
    reader.go("/emergency")
    expect(reader.page.locator("main")).to_contain_text("適用中の緊急ルールはありません")
    expect(reader.page.locator("main")).to_contain_text("時間切れ")
