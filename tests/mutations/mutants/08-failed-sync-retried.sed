# file: src/Millrace.Embedded/Journal/StreamJournal.Sync.cs
# A failed sync is tried again, and believed.
s/foreach \(var file in files\)\n                    file\.File\.SyncData\(\);/foreach (var file in files)\n                {\n                    try\n                    {\n                        file.File.SyncData();\n                    }\n                    catch (IOException)\n                    {\n                        file.File.SyncData();\n                    }\n                }/
