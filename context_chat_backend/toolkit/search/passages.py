"""Texts on unlike subjects, to try a model with before a store has any: how near a sentence is to its own text, and how
near to others, is mostly a matter of the model."""

_TEXTS = """
The cellar was flooded after the storm in June. A plumber pumped the water out and replaced two valves. The insurance
has been told.

Bread needs time more than anything else. Let the dough rest overnight in a cool place, then fold it twice before
baking. A hot stone gives the crust its crackle.

The train to the coast leaves at a quarter past seven. Seats in the second carriage are reserved for our group. Please
bring your own lunch.

Quarterly revenue rose in all regions but one. Licences made up most of the growth, while hardware sales shrank. The
board will decide on a dividend in May.

Bees find their way home by the position of the sun. On cloudy days they read the polarised light of a patch of blue
sky. A dance tells the others where the flowers are.

Each backup is encrypted before it leaves the server. The key is kept in two places, and a restore is rehearsed every
month. Old copies are deleted after a year.

The tenant may end the contract with three months' notice. Repairs of more than a hundred euros are paid by the
landlord. Pets need a written permission.

Mozart wrote his last three symphonies within one summer. Nobody knows for which concert they were meant. The final
movement of the third is a fugue in five voices.

Children under six are examined once a year. The doctor checks their hearing, eyesight and vaccinations. Parents
receive a reminder by post.

The bridge will be closed to lorries from Monday. Engineers found cracks in two of the steel girders. Cars may cross
at walking pace.

Our football team lost the final on penalties. The goalkeeper had saved two of them before she was injured. Next
season begins in August.

Glaciers carve valleys with a flat floor and steep sides. Rivers cut narrow ones in the shape of a letter V. Both can
be seen from the hut above the lake.

Applicants send their diploma and a letter of motivation. Interviews are held by video in the first week of March. The
salary follows the public pay scale.

The compiler warns about variables that are never used. Such a warning often points to a misspelt name. Treat it as an
error in the build.

In 1848 barricades went up in half of Europe's capitals. Citizens demanded constitutions, a free press and national
parliaments. Within two years most of the kings were back in power.

The projector in the large meeting room has a new lamp. Connect the laptop before switching it on, or the picture
stays blue. Spare cables are in the drawer.

Tomatoes want sun, shelter from rain and a lot of water. Pinch out the side shoots so that the plant grows one strong
stem. Basil beside them keeps some insects away.

The parcel was returned because the street number was missing. We have sent it again by courier at no cost. You can
follow it with the link below.

Enzymes speed up reactions without being consumed. Each fits one substance only, as a key fits its lock. Heat destroys
their shape.

The novel follows three sisters who inherit a lighthouse. Each of them wants to leave the island, and none of them
does. Critics praised its dry humour.
"""

TEXTS = tuple(" ".join(text.split()) for text in _TEXTS.split("\n\n"))
