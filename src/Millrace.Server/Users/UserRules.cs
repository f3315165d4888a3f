using System.Diagnostics.CodeAnalysis;

namespace Millrace.Server.Users;

/// <summary>The words of a rule list. A selector in parentheses is one rule, of however many words.</summary>
internal static class UserRules
{
    /// <summary>Joins the words of each selector.</summary>
    /// <param name="words">The words as they came.</param>
    /// <param name="rules">The rules.</param>
    /// <param name="unmatched">The word that opens a parenthesis which is not closed.</param>
    public static bool TryJoin(IEnumerable<string> words, out List<string> rules, [NotNullWhen(false)] out string? unmatched)
    {
        rules = [];
        unmatched = null;
        foreach (var word in words)
        {
            var isOpen = unmatched is not null;
            if (isOpen)
                rules[^1] += " " + word;
            else
                rules.Add(word);
            if (isOpen ? word.EndsWith(')') : word.StartsWith('(') && !word.EndsWith(')'))
                unmatched = isOpen ? null : word;
        }

        return unmatched is null;
    }
}
