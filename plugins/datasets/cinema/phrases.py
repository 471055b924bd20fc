"""The sentences of the grammar. Slots in braces; a bank is a tuple of which one is drawn.

What is said *for* a value has no word of negation before it, what is said *against* one has, in the same clause. No sentence
holds a film title or an attribute value of its own (a test reads them all), so that everything found in a text was put there.
"""

from __future__ import annotations

HELLO = ("Hi!", "Hello!", "Hey there.", "Good evening!", "Hi, how are you?", "Hello, how is it going?", "Hey!", "Good morning.")

OFFER = (
    "What kind of films do you like?",
    "How can I help you today?",
    "What are you looking for?",
    "Tell me what you feel like watching.",
    "What do you usually enjoy?",
    "Which films have you liked lately?",
    "Are you after anything in particular?",
)

REQUEST = (
    "I'm looking for something to watch tonight.",
    "Can you suggest a film?",
    "I need a film for the weekend.",
    "Could you recommend me something?",
    "Any idea what I could watch?",
    "We can't decide what to watch, please help.",
    "I'd like a recommendation.",
    "What should I watch next?",
)

SEEKER_CHAT = (
    "It has been a long week.",
    "The popcorn is ready.",
    "My flatmate has finally left me the sofa.",
    "It's raining here, so we stay in.",
    "I'm doing well, thanks.",
    "I hardly ever get to watch anything these days.",
    "My sister keeps asking what we'll watch.",
    "I've just come home from work.",
    "We take turns choosing, and today it's mine.",
    "I have about two hours.",
)

RECOMMENDER_CHAT = (
    "Sounds like a nice evening.",
    "Let me think.",
    "Good taste!",
    "I see.",
    "Okay, got it.",
    "Great, thanks for telling me.",
    "That helps.",
    "Interesting choice!",
    "Right.",
)

VAGUE = (
    "Something good, you know.",
    "I'm open to most things.",
    "Surprise me.",
    "It should be worth the time.",
    "Just something that keeps me awake.",
    "Nothing too heavy, nothing too silly either.",
    "I can't quite say what I want.",
    "Something with a bit of depth would be great, or maybe the opposite.",
    "Hard to describe, really.",
    "Old or recent, I'm easy.",
)

LIKED_FILM = (
    "I loved {film}.",
    "{film} is one of my favourites.",
    "I really enjoyed {film}.",
    "I could watch {film} over and over.",
    "My all-time favourite is {film}.",
    "I liked {film} a lot.",
    "{film} was great.",
    "Lately I watched {film} and had a good time.",
    "Something like {film}, maybe.",
)

MORE_LIKED_FILMS = (
    "I also liked {film}.",
    "{film} too.",
    "And {film}, of course.",
    "{film} was good as well.",
    "Same for {film}.",
)

DISLIKED_FILM = (
    "I didn't like {film} at all.",
    "{film} was a waste of time.",
    "I couldn't finish {film}.",
    "Please nothing like {film}.",
    "{film} bored me.",
    "I hated {film}.",
)

# A wish in one noun phrase: "I'd like" + "a comedy film from the 1990s with ...".
WISH = (
    "I'd like {thing}.",
    "I'm in the mood for {thing}.",
    "I'm looking for {thing}.",
    "Do you know {thing}?",
    "I want {thing}.",
    "Could you find me {thing}?",
    "How about {thing}?",
    "I feel like {thing} tonight.",
    "Maybe {thing}?",
    "{thing} would be perfect.",
)

# Wanted values by facet, as sentences of their own.
WANTED = {
    "genre": (
        "I like {value} films.",
        "I enjoy {value}.",
        "{value} would be nice.",
        "It should be {value}.",
        "I'm in a {value} mood.",
        "I prefer {value}.",
        "Anything in the {value} corner is fine.",
        "I'm always up for {value}.",
        "Definitely {value}.",
    ),
    "star": (
        "I like {value}.",
        "Anything with {value} in it.",
        "I'm a big fan of {value}.",
        "{value} should be in the cast.",
        "I'd watch {value} in everything.",
        "Is there one where {value} plays?",
        "I think {value} is wonderful.",
    ),
    "director": (
        "I like what {value} makes.",
        "Something directed by {value}.",
        "{value} is my kind of director.",
        "Ideally one by {value}.",
        "I believe {value} made the sort of thing I mean.",
        "A work of {value} would be ideal.",
    ),
    "country": (
        "It should come from {value}.",
        "Made in {value}, if possible.",
        "I'd prefer one from {value}.",
        "Do you know anything from {value}?",
        "I like films from {value}.",
    ),
    "decade": (
        "It should be from the {value}.",
        "I'd prefer something from the {value}.",
        "The {value} were a good time for films.",
        "From the {value}, I think.",
        "Around the {value}, please.",
        "I'm thinking of the {value}.",
    ),
}

# A second value of the same facet.
ALSO = {
    "genre": ("And some {value}.", "{value} is welcome too.", "With a bit of {value}.", "Also {value}."),
    "star": ("Or {value}.", "{value} would also do.", "Also {value}."),
    "director": ("Or {value}.", "{value} would also do."),
    "country": ("Or from {value}.", "Hmm, {value} might be better.", "{value} is fine as well."),
    "decade": (
        "Hmm, or the {value}.",
        "On second thought, the {value}.",
        "The {value} would do as well.",
        "Then again, maybe the {value}.",
    ),
}

UNWANTED = {
    "genre": (
        "No {value} please.",
        "I'm not into {value}.",
        "I don't want {value}.",
        "I'm tired of {value}.",
        "I never watch {value} films.",
    ),
    "star": ("Not with {value} please.", "I can't stand {value}."),
    "director": ("Not by {value} please.", "I don't like what {value} makes."),
    "country": ("Nothing from {value} please.", "I don't want one from {value}.", "It should not come from {value}."),
    "decade": ("Nothing from the {value} please.", "I don't want the {value}.", "Not from the {value}."),
}

# After a value that was a slip of the tongue.
CORRECTION = (
    "Sorry, I meant {value}.",
    "Wait, I mean {value}.",
    "Ah, I mixed that up, {value} is what I want.",
    "Correction: {value}.",
    "Oops, make that {value}.",
)

# For a genre in looser words (see LOOSE).
LOOSE_WANTED = ("I'd like {value}.", "Maybe {value}.", "I want {value}.", "I'm thinking of {value}.", "Preferably {value}.")
LOOSE_UNWANTED = ("I don't want {value}.", "I'm not in the mood for {value}.", "Please don't suggest {value}.")

WITH_ARTICLE = ("United States", "United Kingdom", "Soviet Union")

# Looser words for a value: a person understands them, a word list does not.
LOOSE = {
    "action": "lots of chases and fights",
    "adventure": "a big journey to far places",
    "animation": "a cartoon",
    "biography": "the true life of somebody",
    "comedy": "something funny",
    "crime": "gangsters and heists",
    "drama": "something serious",
    "family": "something to watch with the kids",
    "fantasy": "magic and dragons",
    "history": "a costume piece about the past",
    "horror": "something scary",
    "music": "a story about a band",
    "musical": "people who burst into songs",
    "mystery": "a whodunit",
    "romance": "a love story",
    "sci-fi": "science fiction",
    "sport": "a team of underdogs on the field",
    "thriller": "something that keeps me on the edge of my seat",
    "war": "soldiers at the front",
    "western": "cowboys",
    "1920s": "silent film days",
    "1930s": "thirties",
    "1940s": "forties",
    "1950s": "fifties",
    "1960s": "sixties",
    "1970s": "seventies",
    "1980s": "80s",
    "1990s": "90s",
    "2000s": "noughties",
    "2010s": "last decade or so",
    "2020s": "last few years",
    "United States": "the US",
    "United Kingdom": "Britain",
    "South Korea": "Korea",
    "Soviet Union": "the old USSR",
}

# Asking before an answer; the general ones fit always.
ASK = (
    "Anything else I should know?",
    "Can you tell me a bit more?",
    "Do you have something more specific in mind?",
    "What did you like about it?",
    "Any preferences?",
    "What else matters to you?",
)
ASK_FACET = {
    "genre": ("Which genre do you prefer?", "What genre are you in the mood for?"),
    "star": ("Is there an actor or actress you like?", "Who should be in it?"),
    "director": ("Do you have a favourite director?",),
    "country": ("Does it matter where it was made?", "Any country in particular?"),
    "decade": ("Should it be old or recent?", "From which time should it be?"),
}
UNSURE = ("I don't know, honestly.", "Hard to say.", "No idea, you choose.", "Not really.", "Hmm, let me think.")

RECOMMEND = (
    "You should watch {film}.",
    "Have you seen {film}?",
    "I'd recommend {film}.",
    "How about {film}?",
    "Then {film} could be for you.",
    "{film} comes to mind.",
    "Try {film}.",
    "What about {film}?",
    "I think {film} would fit.",
    "In that case {film} is a good pick.",
)
WHY = (
    "{star} is great in it.",
    "It was made by {director}.",
    "People keep telling me how good it is.",
    "It is pure {genre} from the {decade}.",
    "You won't regret it.",
    "I've seen it twice.",
    "It comes from {country}.",
)
BESIDE = (
    "If you liked {old}, {film} is an obvious next step.",
    "{film} goes well with {old}.",
    "Since you mentioned {old}: {film}.",
    "{film} reminds me of {old}.",
)
BACK = (
    "Have you thought again about {film}?",
    "You could always watch {film} once more.",
    "I keep coming back to {film}.",
    "Honestly, {film} sounds like what you want.",
    "Did {film} not already tick all the boxes?",
)
BACK_REPLY = (
    "We have had that one already.",
    "Yes, I know, but I'd like another one.",
    "True, though I want a different one now.",
    "That was mentioned before, anything new?",
    "Fair enough, what else?",
)

REACTION = {
    "loved": (
        "I've seen it and loved it!",
        "Oh yes, that one is great.",
        "Love it!",
        "Seen it, brilliant.",
        "One of the best, thanks!",
    ),
    "will_watch": (
        "I haven't seen that one, I'll watch it.",
        "Sounds good, that goes on my list.",
        "Never seen it, thank you.",
        "Oh, I've been meaning to see that.",
        "I haven't, but it sounds right.",
    ),
    "seen": ("I've seen that one.", "Seen it already.", "I know that one."),
    "disliked": ("I saw it and didn't enjoy it.", "That one was not for me.", "Hmm, I didn't like it.", "Seen it, bored me."),
    "none": ("Hmm.", "Okay.", "Maybe.", "I see.", "Alright."),
}
NEXT = (
    "What else do you have?",
    "Anything else?",
    "And for tomorrow?",
    "One more, please.",
    "Can you suggest another one?",
    "Now something different.",
    "Do you have another idea?",
    "And one more for the weekend?",
)
THANKS = (
    "Thank you, that's plenty!",
    "Thanks for your help!",
    "Great, I'm set for the weekend.",
    "Perfect, thanks.",
    "That will do, bye!",
    "Thanks, have a nice day.",
)
BYE = ("You're welcome!", "Enjoy!", "Have fun watching!", "Bye!", "Glad to help.", "Have a good night!")
