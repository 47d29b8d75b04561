"""A word, and the sentence that has it, in languages with other scripts, without blanks, or with many endings."""

from collections.abc import Mapping
from types import MappingProxyType

SENTENCES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "zh": {
            "雨伞": "请把雨伞放在门口的架子上，不要带进办公室。",
            "图书馆": "图书馆每周一关门，星期天开到晚上八点。",
            "发票": "会计还没有收到上个月的发票，请尽快寄来。",
            "牙医": "我明天下午要去看牙医，所以不能参加会议。",
            "地铁": "从机场坐地铁到市中心大约需要四十分钟。",
            "面包": "这家店的面包每天早上六点出炉。",
        },
        "ja": {
            "傘": "玄関に傘を置いたまま帰ってしまいました。",
            "図書館": "図書館は月曜日に休みですが、日曜日は開いています。",
            "請求書": "先月の請求書をまだ受け取っていないので送ってください。",
            "歯医者": "明日の午後は歯医者に行くので会議に出られません。",
            "地下鉄": "空港から地下鉄で町の中心まで四十分かかります。",
            "コーヒー": "朝のコーヒーは三階の台所で飲めます。",
        },
        "th": {
            "ร่ม": "กรุณาวางร่มไว้ที่ชั้นหน้าประตู",
            "ห้องสมุด": "ห้องสมุดปิดทุกวันจันทร์และเปิดวันอาทิตย์ถึงสองทุ่ม",
            "ใบแจ้งหนี้": "ฝ่ายบัญชียังไม่ได้รับใบแจ้งหนี้ของเดือนที่แล้ว",
            "หมอฟัน": "พรุ่งนี้บ่ายฉันต้องไปหาหมอฟันจึงเข้าประชุมไม่ได้",
            "รถไฟใต้ดิน": "จากสนามบินนั่งรถไฟใต้ดินเข้าเมืองใช้เวลาสี่สิบนาที",
            "ขนมปัง": "ร้านนี้อบขนมปังใหม่ทุกเช้าตอนหกโมง",
        },
        "ko": {
            "우산": "현관에 우산을 두고 집에 갔습니다.",
            "도서관": "도서관은 월요일에 쉬고 일요일에는 여덟 시까지 엽니다.",
            "청구서": "지난달 청구서를 아직 받지 못했으니 보내 주세요.",
            "치과": "내일 오후에 치과에 가야 해서 회의에 못 갑니다.",
            "지하철": "공항에서 시내까지 지하철로 사십 분이 걸립니다.",
            "빵": "이 가게의 빵은 매일 아침 여섯 시에 나옵니다.",
        },
        "ar": {
            "مظلة": "يرجى وضع المظلة على الرف بجانب الباب.",
            "مكتبة": "المكتبة مغلقة يوم الاثنين ومفتوحة يوم الأحد حتى الثامنة.",
            "فاتورة": "لم يستلم قسم المحاسبة الفاتورة من الشهر الماضي.",
            "أسنان": "سأذهب غدا إلى طبيب الأسنان فلا أستطيع حضور الاجتماع.",
            "مطار": "تستغرق الرحلة من المطار إلى وسط المدينة أربعين دقيقة.",
            "خبز": "يخرج الخبز من الفرن كل صباح في السادسة.",
        },
        "ru": {
            "зонт": "Пожалуйста, оставьте зонты на полке у двери.",
            "библиотека": "В библиотеке по понедельникам выходной, а в воскресенье работают до восьми.",
            "счёт": "Бухгалтерия ещё не получила счет за прошлый месяц.",
            "стоматолог": "Завтра днём я иду к стоматологу и не смогу быть на встрече.",
            "аэропорт": "Из аэропорта до центра города на метро ехать сорок минут.",
            "хлеб": "Свежий хлеб в этом магазине пекут каждое утро в шесть.",
        },
        "hi": {
            "छाता": "कृपया अपना छाता दरवाज़े के पास की अलमारी में रखें।",
            "पुस्तकालय": "पुस्तकालय सोमवार को बंद रहता है और रविवार को आठ बजे तक खुला है।",
            "बिल": "लेखा विभाग को पिछले महीने का बिल अब तक नहीं मिला।",
            "दंत": "कल दोपहर मुझे दंत चिकित्सक के पास जाना है।",
            "हवाई अड्डा": "हवाई अड्डे से शहर के बीच तक मेट्रो से चालीस मिनट लगते हैं।",
            "रोटी": "इस दुकान में रोटी हर सुबह छह बजे बनती है।",
        },
        "el": {
            "ομπρέλα": "Παρακαλώ αφήστε τις ομπρέλες στο ράφι δίπλα στην πόρτα.",
            "βιβλιοθήκη": "Η βιβλιοθήκη είναι κλειστή τη Δευτέρα και ανοιχτή την Κυριακή.",
            "τιμολόγιο": "Το λογιστήριο δεν έλαβε ακόμη το τιμολόγιο του περασμένου μήνα.",
            "οδοντίατρος": "Αύριο το απόγευμα πηγαίνω στον οδοντίατρο και θα λείπω από τη συνάντηση.",
            "αεροδρόμιο": "Από το αεροδρόμιο ως το κέντρο το μετρό κάνει σαράντα λεπτά.",
            "ψωμι": "Το ψωμί βγαίνει από τον φούρνο κάθε πρωί στις έξι.",
        },
        "tr": {
            "şemsiye": "Lütfen şemsiyelerinizi kapının yanındaki rafa bırakın.",
            "kütüphane": "Kütüphanemiz pazartesi kapalı, pazar günü sekize kadar açıktır.",
            "fatura": "Muhasebe geçen ayın faturasını hâlâ almadı.",
            "dişçi": "Yarın öğleden sonra dişçiye gideceğim, toplantıya gelemem.",
            "havalimanı": "Havalimanından şehir merkezine metroyla kırk dakika sürüyor.",
            "IŞIK": "Merdivendeki ışıklar gece yarısı söner.",
        },
        "vi": {
            "cái ô": "Xin hãy để cái ô lên kệ cạnh cửa ra vào.",
            "thư viện": "Thư viện đóng cửa thứ hai và mở cửa chủ nhật đến tám giờ.",
            "hóa đơn": "Phòng kế toán chưa nhận được hóa đơn của tháng trước.",
            "nha sĩ": "Chiều mai tôi phải đi nha sĩ nên không họp được.",
            "san bay": "Từ sân bay đi tàu điện ngầm vào trung tâm mất bốn mươi phút.",
            "bánh mì": "Cửa hàng này có bánh mì mới mỗi sáng lúc sáu giờ.",
        },
        "he": {
            "מטריה": "נא להניח את המטריה על המדף ליד הדלת.",
            "ספרייה": "הספרייה סגורה ביום שני ופתוחה ביום ראשון עד שמונה.",
            "חשבונית": "הנהלת החשבונות עוד לא קיבלה את החשבונית של החודש שעבר.",
            "שיניים": "מחר אחר הצהריים אני אצל רופא שיניים ולא אגיע לפגישה.",
            "תעופה": "הנסיעה משדה התעופה למרכז העיר אורכת ארבעים דקות.",
            "לחם": "הלחם יוצא מהתנור כל בוקר בשש.",
        },
    }
)

GERMAN_FORMS: Mapping[str, str] = MappingProxyType(
    {
        "Versicherung": "Unsere Betriebshaftpflichtversicherung deckt Schäden bis zu einer Million.",
        "Kündigung": "Es gilt eine Kündigungsfrist von drei Monaten zum Quartalsende.",
        "Versammlung": "Zur Mitgliederversammlung im Herbst laden wir herzlich ein.",
        "Abrechnung": "Mit der Heizkostenabrechnung sind viele Mieter nicht einverstanden.",
        "Haus": "Die alten Häuser am Marktplatz werden saniert.",
        "Bewerbung": "Alle Bewerbungen sind bis Freitag an das Personalbüro zu senden.",
        "Zug": "Die Züge nach Hamburg fahren zur halben Stunde.",
        "Baum": "Im Stadtpark werden zwanzig Bäume gepflanzt.",
        "Löscher": "Die Feuerlöscher im Keller wurden geprüft.",
        "Garten": "Das Sommerfest des Kindergartens beginnt um drei Uhr.",
        "Steuer": "Die Einkommensteuererklärung ist bis Ende Juli abzugeben.",
        "Reise": "Dienstreisen müssen vorher genehmigt werden.",
        "Wahl": "Das Ergebnis der Betriebsratswahl hängt am schwarzen Brett.",
        "Schlüssel": "Verlorene Transponderschlüssel sind sofort zu melden.",
    }
)
"""What is typed, and a sentence with another form of it, or with a word that it is a part of."""
