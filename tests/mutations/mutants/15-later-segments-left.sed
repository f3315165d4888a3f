# file: src/Millrace.Embedded/Journal/TornTail.cs
# Segments behind a torn tail stay.
s/device\.Rename\(name, name \+ JournalFiles\.SetAsideSuffix\);//
