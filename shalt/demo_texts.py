"""What the people and the model of the demo say, written by hand. `shalt.demo_calls` joins it.

Four applications of a company that never was: notes of telephone calls as JSON, a shop's support
assistant with tools, translation of messages to customers, summaries of tickets. Braces are filled
in by `str.format`. Nobody here exists.
"""

FIRST_NAMES = """
Ada Amir Anouk Bea Boris Carmen Chidi Dana Deepa Elif Emil Farah Femke Gita Goran Hana Hugo Ines
Ivo Jana Jonas Kemal Kirsten Lena Luca Maya Milan Nadia Noor Oskar Paula Priya Quentin Rosa Samir
Selma Tariq Tilda Uma Viktor Wanda Yara Yusuf Zoe
""".split()
LAST_NAMES = """
Abara Bergmann Castillo Dlamini Eriksen Fontaine Goldberg Haddad Ivanova Jansen Kowalski Lindqvist
Moreau Nakamura Okafor Petrov Quiroga Rossi Sato Tanaka Ueda Varga Whitfield Yilmaz Zhang
""".split()
AGENTS = ["Marta", "Dele", "Sofie", "Ravi", "Clara", "Tom"]
CITIES = ["Ghent", "Malmö", "Porto", "Leeds", "Graz", "Turin", "Aarhus", "Lyon", "Cork", "Brno"]

# --- notes of telephone calls: a transcript in, one JSON object out

NOTES_SYSTEM = """\
You turn the transcript of a service call into one JSON object. Use only what is said. Dates are
written YYYY-MM-DD; amounts are numbers in euros; what is not said is null. Today is {today}."""

NOTES_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        "caller": {"type": "string"},
        "reason": {"enum": ["billing", "meter", "outage", "moving", "contract", "complaint"]},
        "event_date": {"type": ["string", "null"]},
        "callback_date": {"type": ["string", "null"]},
        "amount": {"type": ["number", "null"]},
        "summary": {"type": "string"},
    },
    "required": ["caller", "reason", "event_date", "callback_date", "amount", "summary"],
    "additionalProperties": False,
}

# (reason, what the caller says, what is noted)
NOTES_CASES = [
    (
        "billing",
        "I have your invoice of {event} here and it says {amount} euros. That is about double what "
        "I paid last quarter, and nobody has read my meter.",
        "Invoice of {amount} euros is twice the usual; the meter was not read.",
    ),
    (
        "billing",
        "You took {amount} euros from my account on {event}, and then the same again two days "
        "later. I want one of them back.",
        "{amount} euros were debited twice; asks for one of them back.",
    ),
    (
        "meter",
        "The new meter was fitted on {event}, and since then the display has only shown dashes. I "
        "cannot read anything off it.",
        "The display of the new meter shows only dashes since it was fitted.",
    ),
    (
        "meter",
        "I am supposed to send you a reading. On {event} it stood at {reading}, if that is still "
        "any use to you.",
        "Gives a meter reading of {reading}.",
    ),
    (
        "outage",
        "The power went in our street on {event} for most of the evening. I had {amount} euros' "
        "worth of food in the freezer and all of it is gone.",
        "Claims {amount} euros for food lost in a power cut.",
    ),
    (
        "outage",
        "We have had no hot water since {event}. The heating pump just clicks, and your line has "
        "been busy all morning.",
        "No hot water; the heating pump clicks and does not start.",
    ),
    (
        "moving",
        "We are moving to {city} and the keys are handed over on {event}. Can you close the old "
        "contract for that day and send the final bill there?",
        "Moves to {city}; wants the contract closed at the handover and the bill sent there.",
    ),
    (
        "moving",
        "My tenant moved out on {event} and says you still write to him. From that day on it "
        "should be in my name.",
        "The flat's contract is to pass to the landlord after the tenant moved out.",
    ),
    (
        "contract",
        "Your letter of {event} says that the fixed price ends and I would pay {amount} euros a "
        "month. What else have you got?",
        "Fixed price ends; asks for an alternative to {amount} euros a month.",
    ),
    (
        "contract",
        "I signed up on {event} at the stand in {city} and I have changed my mind. I am still "
        "inside the fourteen days, I believe.",
        "Withdraws from a contract signed at a stand in {city}.",
    ),
    (
        "complaint",
        "Somebody was meant to come on {event} between eight and noon. I took the morning off, and "
        "nobody came and nobody rang.",
        "The technician did not come to the appointment and did not call.",
    ),
    (
        "complaint",
        "I have been passed on four times since {event}. I would like one person who knows my "
        "case, please.",
        "Was passed on four times; asks for one contact.",
    ),
]
NOTES_CALLBACKS = [
    "Could you ring me back on {callback}?",
    "I can be reached on {callback}, after work.",
    "Please settle that by {callback}.",
    "I am away until {callback}, so call me then.",
]
NOTES_NO_CALLBACKS = ["You have my address.", "An e-mail is fine.", "No need to call me back."]
NOTES_ANSWERS = [
    "I am sorry about that. I have put it in your file.",
    "Thank you, I can see it here. A colleague will look at it.",
    "I understand. I will pass that on now.",
]

# --- a shop's support assistant, with tools

SUPPORT_SYSTEM = """\
You are the support assistant of Fieldnote, a shop for outdoor gear. Look orders up before you say
anything about them. Refund only what the customer asks for, and only after they have said yes. Be
brief and friendly. The customer's id is {customer}."""

SUPPORT_ITEMS = [
    ("Halden rain jacket", 129.00),
    ("Tarn two-person tent", 249.50),
    ("Oban merino socks, three pairs", 38.40),
    ("Skye trekking poles", 79.90),
    ("Lomond 45-litre pack", 164.00),
    ("Rannoch head torch", 44.95),
    ("Nevis gas stove", 59.00),
    ("Etive sleeping mat", 89.00),
]
SUPPORT_OPENINGS = [
    "Hi, the {item} I ordered on {event} (order {order}) arrived with a torn seam. Can I get my "
    "money back?",
    "Order {order} from {event}: the {item} is the wrong size. I would rather have a refund than "
    "another one.",
    "Hello! I ordered the {item} on {event} and it never came. The number is {order}.",
    "I am not happy with the {item}, bought {event}, order {order}. What can you do?",
]
SUPPORT_OPENINGS_TWO = [
    "I have two orders from {event}, {order} and {second}. Where are they?",
    "Did {order} and {second} go out together? I ordered both on {event}.",
]
SUPPORT_STATUS = [
    "I have found it: the {item}, {price} euros, is marked as {state}. I can refund the {price} "
    "euros to the card you paid with. Shall I?",
    "Thank you. Order {order} is the {item} for {price} euros, {state}. Would you like me to "
    "refund it?",
]
SUPPORT_STATUS_TWO = (
    "{order} ({item}) is {state} and {second} ({other}) is {state_two}. They were packed "
    "separately, so they may come on different days."
)
SUPPORT_YES = ["Yes please.", "Yes, refund it.", "Please do, thanks.", "That would be great, yes."]
SUPPORT_REFUNDED = [
    "Done: {price} euros are on their way back and should be there in three to five days. Sorry "
    "for the trouble!",
    "I have refunded {price} euros for order {order}. You need not send anything back.",
]
SUPPORT_PRIVATE = "Can you tell me where the person lives who sent me order {order} as a present?"
SUPPORT_REFUSAL = "I'm sorry, but I can't share another customer's address."

# --- messages to customers, translated

TRANSLATE_SYSTEM = "Translate the message into {language}. Answer with the translation alone."
TRANSLATE_LANGUAGES = ["German", "French", "Spanish"]
# English, then the languages above. Each has a number of its own: without one, two messages to
# people of like names are nearly the same, and an export stops where they are on two sides.
TRANSLATE_PAIRS = [
    (
        "Hello {name}, your technician comes to {city} tomorrow between {hour} and noon, for "
        "{order}.",
        "Guten Tag {name}, Ihr Techniker kommt morgen zwischen {hour} Uhr und Mittag nach {city}, "
        "wegen {order}.",
        "Bonjour {name}, votre technicien passera à {city} demain entre {hour} h et midi, pour "
        "{order}.",
        "Hola, {name}: su técnico irá mañana a {city} entre las {hour} y el mediodía, por {order}.",
    ),
    (
        "Dear {name}, we have received your payment of {amount} euros. Thank you!",
        "Guten Tag {name}, Ihre Zahlung über {amount} Euro ist eingegangen. Vielen Dank!",
        "Bonjour {name}, nous avons bien reçu votre paiement de {amount} euros. Merci !",
        "Estimado/a {name}: hemos recibido su pago de {amount} euros. ¡Gracias!",
    ),
    (
        "{name}, your parcel {order} is waiting at the shop in {city}. Please bring an identity "
        "card.",
        "{name}, Ihr Paket {order} liegt im Laden in {city} bereit. Bitte bringen Sie einen "
        "Ausweis mit.",
        "{name}, votre colis {order} vous attend au magasin de {city}. Munissez-vous d'une pièce "
        "d'identité.",
        "{name}, su paquete {order} le espera en la tienda de {city}. Traiga un documento de "
        "identidad.",
    ),
    (
        "Because of the storm, deliveries to {city} are late. {name}, we are sorry about {order}.",
        "Wegen des Sturms verspäten sich Lieferungen nach {city}. {name}, das tut uns leid wegen "
        "{order}.",
        "En raison de la tempête, les livraisons vers {city} ont du retard. {name}, nous sommes "
        "désolés pour {order}.",
        "Por la tormenta, las entregas en {city} se retrasan. {name}, lo sentimos por {order}.",
    ),
]

# --- tickets, summarised

DIGEST_SYSTEM = "Summarise the ticket for the weekly meeting in one or two sentences."
# (what happened, line by line, the summary)
DIGEST_CASES = [
    (
        ["{name} reports that the export button on the invoices page does nothing in Firefox.",
         "{agent}: reproduced, the console shows a blocked download.",
         "{agent}: fixed in the evening release, {name} confirmed from {city}."],
        "Invoice export was blocked in Firefox; fixed the same evening and confirmed by {name}.",
    ),
    (
        ["{name} ({city}) cannot log in after changing the telephone number.",
         "{agent}: the code still goes to the old number, reset by hand.",
         "{name}: works, but why did I have to call?",
         "{agent}: opened a follow-up for the settings page."],
        "{name} was locked out after a change of number; reset by hand. The settings page needs "
        "a fix, a follow-up is open.",
    ),
    (
        ["Alarm: {count} sensors in {city} have sent nothing since midnight.",
         "{agent}: the gateway's certificate ran out.",
         "{agent}: renewed, {count} of {count} sensors are back. {name} informed."],
        "{count} sensors in {city} were silent because a gateway's certificate ran out; renewed, "
        "all are back.",
    ),
    (
        ["{name} asks for the consumption of all {count} sites as one file.",
         "{agent}: sent as CSV for {city}, the other sites follow.",
         "{name}: Excel opens it in one column.",
         "{agent}: sent again with semicolons."],
        "{name} received the consumption of {count} sites as one file, after the separator was "
        "changed.",
    ),
]  # fmt: skip
DIGEST_CUT = "The ticket is about"  # where the token limit struck
